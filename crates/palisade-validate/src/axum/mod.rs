//! Extractors that check what they extract.

mod body;
mod extractor;
mod head;
#[cfg(feature = "multipart")]
mod json_or_form;
#[cfg(feature = "multipart")]
mod multipart;
mod named;
#[cfg(feature = "aide")]
mod openapi;
mod path;
mod tuples;

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request;
use palisade_core::{ApiError, Trail};

use crate::{Validation, place::Findings};

#[cfg(feature = "schemars")]
pub use self::body::SchemaJson;
#[cfg(feature = "multipart")]
pub use self::json_or_form::JsonOrForm;
#[cfg(feature = "multipart")]
pub use self::multipart::{
    Multipart, MultipartStream, Upload, UploadStream, Uploads, UploadsBuilder, UploadsLayer,
    UploadsService,
};
pub use self::{
    body::FromBody,
    extractor::{Extractor, HasRules},
    head::{FromHead, OfTexts},
    named::{Cookies, Headers},
};

/// An extractor whose value keeps its type's rules.
///
/// | extractor | reads |
/// | --- | --- |
/// | `Valid<Json<T>>` | a JSON body |
/// | `Valid<SchemaJson<T>>` | a JSON body whose type has a schema (feature `schemars`) |
/// | `Valid<Form<T>>` | an urlencoded form |
/// | `Valid<JsonOrForm<T>>` | JSON, or a form of either kind, as the client sends it (feature `multipart`) |
/// | `Valid<Multipart<T>>` | a form with files, in memory or on disk (feature `multipart`) |
/// | `Valid<MultipartStream<T>>` | a form with files, streamed (feature `multipart`) |
/// | `Valid<Query<T>>` | the query string |
/// | `Valid<Path<T>>` | the parameters of the path: a struct, a tuple, or the only one |
/// | `Valid<Headers<T>>` | header fields, with [`Headers`] |
/// | `Valid<Cookies<T>>` | cookies, with [`Cookies`] |
/// | `Valid<(Path<A>, Query<B>, Json<C>)>` | several of them, the body last, whose issues are reported together |
///
/// A rejection reports all issues at once, in the format of the [`ErrorLayer`](palisade_core::ErrorLayer) outside.
/// [`Validation`] outside sets the status and other options, and [`RuleContext`](crate::RuleContext) the context of garde's
/// rules.
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
///
/// A parameter of a path needs a type of its own for its rules, because garde's rules belong to types:
#[derive(Clone, Copy, Debug)]
pub struct Valid<E: Extractor>(
    /// The extractor that holds the value.
    pub E,
);

impl<S, E> FromRequestParts<S> for Valid<E>
where
    S: Send + Sync,
    E: FromHead,
{
    type Rejection = ApiError;

    async fn from_request_parts(request: &mut request::Parts, _: &S) -> Result<Self, ApiError> {
        let settings = Validation::from_extensions(&request.extensions);
        let mut findings = Findings::default();
        let read = E::read(request, &settings, &mut findings).await;
        let checked = read.and_then(|value| settings.settle(value, findings));
        checked
            .map(Self)
            .inspect_err(|error| note(Trail::from_extensions(&request.extensions), error))
    }
}

impl<S, E> FromRequest<S> for Valid<E>
where
    S: Send + Sync,
    E: FromBody,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let settings = Validation::from_extensions(request.extensions());
        let trail = Trail::from_extensions(request.extensions()).cloned();
        let mut findings = Findings::default();
        let checked = match E::read(request, &settings, &mut findings).await {
            Ok(value) => settings.settle(value, findings),
            // The issues of the head are reported too.
            Err(error) => Err(settings.beside(error, findings)),
        };
        checked.map(Self).inspect_err(|error| note(trail.as_ref(), error))
    }
}

/// Tells the observer of a request who rejected it.
fn note(trail: Option<&Trail>, error: &ApiError) {
    if let Some(trail) = trail {
        trail.note_refusal("Validation", error);
    }
}
