//! Extractors that check what they extract.

mod body;
mod head;
#[cfg(feature = "multipart")]
mod multipart;
#[cfg(feature = "multipart")]
mod uploads;

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request;
use palisade_core::ApiError;

use crate::{Validation, place::Findings};

pub use self::{
    body::FromBody,
    head::{FromHead, Headers},
};
#[cfg(feature = "multipart")]
pub use self::{
    multipart::{Multipart, Upload},
    uploads::{Uploads, UploadsBuilder},
};

/// An extractor whose value keeps its type's rules.
///
/// | extractor | reads |
/// | --- | --- |
/// | `Valid<Json<T>>` | a JSON body |
/// | `Valid<Form<T>>` | an urlencoded form |
/// | `Valid<Multipart<T>>` | a form with files (feature `multipart`) |
/// | `Valid<Query<T>>` | the query string |
/// | `Valid<Path<T>>` | the parameters of the path |
/// | `Valid<Headers<T>>` | header fields, with [`Headers`] |
/// | `Valid<(Path<A>, Query<B>, Json<C>)>` | several of them, the body last, whose issues are reported together |
///
/// Where it fails, everything that is wrong is reported at once, in the format of the
/// [`ErrorLayer`](palisade_core::ErrorLayer) outside. [`Validation`] outside says with which status, and
/// [`RuleContext`](crate::RuleContext) what garde's rules are told.
///
/// ```
/// use axum::{Json, Router, extract::{Path, Query}, routing::{get, post}};
/// use garde::Validate;
/// use palisade_validate::Valid;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Shop {
///     #[garde(range(min = 1))]
///     shop: u32,
/// }
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
/// async fn create(Valid((Path(shop), Json(item))): Valid<(Path<Shop>, Json<Item>)>) -> String {
///     format!("{} in {}", item.name, shop.shop)
/// }
/// async fn list(Valid(Query(page)): Valid<Query<Page>>) -> String { page.page.to_string() }
///
/// let app: Router = Router::new().route("/{shop}/items", post(create).get(list));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Valid<E>(
    /// The extractor that holds the value.
    pub E,
);

impl<S, E> FromRequestParts<S> for Valid<E>
where
    S: Send + Sync,
    E: FromHead<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(request: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let settings = Validation::of(&request.extensions);
        let mut findings = Findings::default();
        let value = E::read(request, state, settings, &mut findings).await?;
        settings.settle(value, findings).map(Self)
    }
}

impl<S, E> FromRequest<S> for Valid<E>
where
    S: Send + Sync,
    E: FromBody<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let settings = Validation::of(request.extensions());
        let mut findings = Findings::default();
        match E::read(request, state, settings, &mut findings).await {
            Ok(value) => settings.settle(value, findings).map(Self),
            // What the body is refused for comes first, and what was wrong before it is not forgotten.
            Err(error) => Err(error.with_issues(findings.issues)),
        }
    }
}
