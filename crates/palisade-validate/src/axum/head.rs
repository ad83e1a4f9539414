use std::{collections::HashSet, future::Future};

use axum::extract::{FromRequestParts, Path, Query, RawPathParams};
use garde::Validate;
use http::{HeaderMap, request};
use palisade_core::{ApiError, IssueSource};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    RuleContext, Validation,
    examine::fields_of,
    issue_codes,
    place::{Findings, Found, Place},
    text,
};

/// What [`Valid`](crate::Valid) reads from the head of a request: `Path`, `Query`, [`Headers`], and tuples of them.
///
/// It cannot be implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be validated",
    note = "`Valid` takes `Path`, `Query`, `Headers`, `Json`, `Form`, or a tuple of them with the body last",
    note = "their type must implement `serde::Deserialize` and `garde::Validate`, and its context `Default`"
)]
pub trait FromHead<S>: Sized {
    /// `Ok(None)`: what is wrong was added.
    #[doc(hidden)]
    fn read(
        request: &mut request::Parts,
        state: &S,
        settings: Validation,
        findings: &mut Findings,
    ) -> impl Future<Output = Result<Option<Self>, ApiError>> + Send;
}

impl<S, T> FromHead<S> for Query<T>
where
    S: Sync,
    T: DeserializeOwned + Validate,
    T::Context: Default + Send + Sync + 'static,
{
    async fn read(
        request: &mut request::Parts,
        _: &S,
        settings: Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let query = request.uri.query().unwrap_or_default();
        let context = RuleContext::<T::Context>::of(&request.extensions);
        let pairs = text::pairs(query.as_bytes())?;
        let value = settings.texts(pairs, query.len(), IssueSource::Query, &*context, findings);
        Ok(value.map(Self))
    }
}

impl<S, T> FromHead<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate,
    T::Context: Default + Send + Sync + 'static,
{
    async fn read(
        request: &mut request::Parts,
        state: &S,
        settings: Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let params = RawPathParams::from_request_parts(request, state).await.map_err(|error| {
            ApiError::bad_request().with_message("the path is not UTF-8").with_source(error)
        })?;
        let mut pairs = Map::new();
        for (name, value) in &params {
            text::add(&mut pairs, name, value.to_owned());
        }
        let context = RuleContext::<T::Context>::of(&request.extensions);
        let size = request.uri.path().len();
        let value =
            settings.texts(Value::Object(pairs), size, IssueSource::Path, &*context, findings);
        Ok(value.map(Self))
    }
}

/// Header fields, read as a struct: each of its fields is the header of the same letters, so that `user_agent` is
/// `User-Agent`.
///
/// A header that is sent several times is a list, and texts become numbers and the like as in a query string. Headers
/// that the type does not ask for are nobody's business.
///
/// ```
/// use axum::{Router, routing::get};
/// use garde::Validate;
/// use palisade_validate::{Headers, Valid};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Needed {
///     #[garde(range(min = 1, max = 3))]
///     x_api_version: u8,
/// }
///
/// async fn show(Valid(Headers(needed)): Valid<Headers<Needed>>) -> String {
///     needed.x_api_version.to_string()
/// }
///
/// let app: Router = Router::new().route("/", get(show));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Headers<T>(
    /// What was read.
    pub T,
);

impl<S, T> FromHead<S> for Headers<T>
where
    S: Sync,
    T: DeserializeOwned + Validate,
    T::Context: Default + Send + Sync + 'static,
{
    async fn read(
        request: &mut request::Parts,
        _: &S,
        settings: Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let (pairs, size) = asked_for(&request.headers, fields_of::<T>(), findings);
        let context = RuleContext::<T::Context>::of(&request.extensions);
        let before = findings.issues.len();
        let value =
            settings.texts(Value::Object(pairs), size, IssueSource::Headers, &*context, findings);
        for issue in &mut findings.issues[before..] {
            issue.path = issue.path.replace('_', "-");
            issue.pointer = issue.pointer.take().map(|pointer| pointer.replace('_', "-"));
        }
        Ok(value.map(Self))
    }
}

/// The headers that a type has fields for, by the names of the fields. A type that does not say gets all of them.
fn asked_for(
    headers: &HeaderMap,
    fields: Option<&'static [&'static str]>,
    findings: &mut Findings,
) -> (Map<String, Value>, usize) {
    let letters = |name: &str| {
        name.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|char| char.to_ascii_lowercase())
            .collect::<String>()
    };
    let mut pairs = Map::new();
    let mut unreadable = HashSet::new();
    let mut size = 0;
    for (name, value) in headers {
        let key = match fields {
            Some(fields) => {
                let header = letters(name.as_str());
                match fields.iter().find(|field| letters(field) == header) {
                    Some(field) => *field,
                    None => continue,
                }
            }
            None => name.as_str(),
        };
        size += key.len() + value.len();
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => text::add(&mut pairs, key, text.trim().to_owned()),
            Err(_) if unreadable.insert(name) => {
                let place = Place::default().name(name.as_str());
                findings.add(
                    IssueSource::Headers,
                    [Found::new(place, issue_codes::WRONG_TYPE, "must be UTF-8")],
                );
            }
            Err(_) => {}
        }
    }
    (pairs, size)
}

macro_rules! tuples {
    ($(($($part:ident $value:ident),+);)*) => {$(
        impl<S, $($part),+> FromHead<S> for ($($part,)+)
        where
            S: Send + Sync,
            $($part: FromHead<S> + Send,)+
        {
            async fn read(
                request: &mut request::Parts,
                state: &S,
                settings: Validation,
                findings: &mut Findings,
            ) -> Result<Option<Self>, ApiError> {
                $(let $value = $part::read(request, state, settings, findings).await?;)+
                Ok(match ($($value,)+) {
                    ($(Some($value),)+) => Some(($($value,)+)),
                    _ => None,
                })
            }
        }
    )*};
}

tuples! {
    (A a, B b);
    (A a, B b, C c);
}
