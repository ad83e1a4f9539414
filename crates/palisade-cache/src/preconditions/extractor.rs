use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request;

use super::Preconditions;

/// The conditions of the request, for axum's handlers.
///
/// ```
/// use axum::{Router, routing::put};
/// use palisade_cache::{EntityTag, Preconditions, Validators};
/// use palisade_core::ApiError;
///
/// async fn replace(conditions: Preconditions) -> Result<(), ApiError> {
///     let current = EntityTag::of_bytes(b"the post as it is stored");
///     conditions.check(&Validators::etag(current))
/// }
///
/// let app: Router = Router::new().route("/posts/1", put(replace));
/// ```
impl<S: Sync> FromRequestParts<S> for Preconditions {
    type Rejection = Infallible;

    async fn from_request_parts(request: &mut request::Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_request(request))
    }
}
