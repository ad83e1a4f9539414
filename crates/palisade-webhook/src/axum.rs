use axum::extract::FromRequestParts;
use http::request;
use palisade_core::ApiError;

use crate::Verified;

/// A request that nobody verified is a fault in the routing: 500, and the remedy in the log.
impl<S: Send + Sync> FromRequestParts<S> for Verified {
    type Rejection = ApiError;

    async fn from_request_parts(request: &mut request::Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&request.extensions).cloned().ok_or_else(|| {
            ApiError::report_misconfiguration(
                &request.extensions,
                "a handler wants a verified webhook, and no Webhook layer is on its route: add `.layer(webhook)`",
            )
        })
    }
}
