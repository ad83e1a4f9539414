use std::any::type_name;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request;
use palisade_core::ApiError;

use crate::Identity;

/// A missing identity is a fault in the routing, not in the request: 500, and the remedy in the log.
/// The credential is in the security scheme of the operation, not in its parameters.
#[cfg(feature = "aide")]
impl<C> aide::OperationInput for Identity<C> {}

impl<C, S> FromRequestParts<S> for Identity<C>
where
    C: Send + Sync + 'static,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(request: &mut request::Parts, _: &S) -> Result<Self, ApiError> {
        Self::from_extensions(&request.extensions).cloned().ok_or_else(|| {
            let claims = type_name::<C>();
            let remedy = format!(
                "a handler wants Identity<{claims}>, and no authentication with these claims is on its route: add \
                 `.with_auth(&auth)` to the route, or take Option<Identity<_>> where it is optional"
            );
            ApiError::report_misconfiguration(&request.extensions, remedy)
        })
    }
}

impl<C, S> OptionalFromRequestParts<S> for Identity<C>
where
    C: Send + Sync + 'static,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(
        request: &mut request::Parts,
        _: &S,
    ) -> Result<Option<Self>, ApiError> {
        Ok(Self::from_extensions(&request.extensions).cloned())
    }
}
