use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request;
use palisade_core::ApiError;

use crate::IdempotencyKey;

/// Without a key the request is rejected with 500, and the log has the remedy: a route that requires a key says so in its layer.
impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(request: &mut request::Parts, _: &S) -> Result<Self, ApiError> {
        Self::from_extensions(&request.extensions).cloned().ok_or_else(|| {
            ApiError::report_misconfiguration(
                &request.extensions,
                "a handler takes an `IdempotencyKey`, and its route has no `Idempotency` layer that requires one: add \
                 `.layer(idempotency)` with `.required()`, or take an `Option<IdempotencyKey>`",
            )
        })
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(
        request: &mut request::Parts,
        _: &S,
    ) -> Result<Option<Self>, ApiError> {
        Ok(Self::from_extensions(&request.extensions).cloned())
    }
}
