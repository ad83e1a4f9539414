use axum::extract::FromRequestParts;
use http::request;
use palisade_core::ApiError;

use crate::Verified;

/// An unverified request means that the route has no `Webhook` layer: 500, with the remedy in the log.
impl<S: Send + Sync> FromRequestParts<S> for Verified {
    type Rejection = ApiError;

    async fn from_request_parts(request: &mut request::Parts, _: &S) -> Result<Self, ApiError> {
        Self::from_extensions(&request.extensions).cloned().ok_or_else(|| {
            ApiError::report_misconfiguration(
                &request.extensions,
                "a handler wants a verified webhook, and no Webhook layer is on its route: add `.layer(webhook)`",
            )
        })
    }
}
