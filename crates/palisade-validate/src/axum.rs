use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request},
};
use bytes::Bytes;
use garde::Validate;
use http::{Extensions, StatusCode, request};
use palisade_core::ApiError;
use serde::de::DeserializeOwned;

use crate::{Validation, json};

/// An extractor whose value keeps its type's rules: `Valid<Json<T>>` for bodies, `Valid<Query<T>>` for query strings.
///
/// Where it fails, everything that is wrong is reported at once, in the format of the
/// [`ErrorLayer`](palisade_core::ErrorLayer) outside. [`Validation`] outside says with which status.
///
/// ```
/// use axum::{Json, Router, extract::Query, routing::{get, post}};
/// use garde::Validate;
/// use palisade_validate::Valid;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Item {
///     #[garde(length(chars, min = 1, max = 100))]
///     name: String,
/// }
///
/// #[derive(Deserialize, Validate)]
/// struct Page {
///     #[garde(range(min = 1))]
///     #[serde(default = "first")]
///     page: u32,
/// }
///
/// fn first() -> u32 { 1 }
///
/// async fn create(Valid(Json(item)): Valid<Json<Item>>) -> String { item.name }
/// async fn list(Valid(Query(page)): Valid<Query<Page>>) -> String { page.page.to_string() }
///
/// let app: Router = Router::new().route("/items", post(create).get(list));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Valid<E>(
    /// The extractor that holds the value.
    pub E,
);

fn settings(extensions: &Extensions) -> Validation {
    extensions.get().copied().unwrap_or_default()
}

impl<S, T> FromRequest<S> for Valid<Json<T>>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        json::check_media_type(request.headers())?;
        let settings = settings(request.extensions());
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            // axum's own limit, or the stack's: both end as the same status here.
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::payload_too_large()
            } else {
                ApiError::bad_request().with_message("the request body could not be read")
            }
            .with_source(rejection)
        })?;
        settings.json(&body).map(|value| Self(Json(value)))
    }
}

impl<S, T> FromRequestParts<S> for Valid<Query<T>>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    type Rejection = ApiError;

    async fn from_request_parts(request: &mut request::Parts, _: &S) -> Result<Self, ApiError> {
        let query = request.uri.query().unwrap_or_default();
        settings(&request.extensions).query(query).map(|value| Self(Query(value)))
    }
}
