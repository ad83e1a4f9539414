//! Headers and cookies: a client sends many, and a type asks for some of them.

use std::borrow::Cow;

use garde::Validate;
use http::request;
use palisade_core::{ApiError, IssueSource, cookies};
use percent_encoding::percent_decode;
use serde::de::DeserializeOwned;

use super::{Extractor, HasRules, head::OfTexts};
use crate::{
    examine::{Shape, asked_for},
    texts::{Naming, Texts},
};

/// Header fields, read as a struct: each of its fields is the header of the same letters, so that `user_agent` is
/// `User-Agent`.
///
/// A header with several field lines is a list, and texts become numbers and other types as in a query string. Headers that
/// the type does not ask for are ignored.
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

/// Cookies, read as a struct: each of its fields is the cookie of exactly this name, as serde knows it.
///
/// Values are percent-decoded, and become numbers and other types as in a query string. A cookie that comes twice is a list:
/// another path or a parent domain set one of the two, and the request does not show which. A field that is not a list
/// rejects both. Cookies that the type does not ask for are ignored.
///
/// Do not read credentials here: `Sessions` does that, with its protection against requests from other sites.
///
/// ```
/// use axum::{Router, routing::get};
/// use garde::Validate;
/// use palisade_validate::{Cookies, Valid};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Preferences {
///     #[serde(rename = "page-size", default = "twenty")]
///     #[garde(range(min = 1, max = 100))]
///     page_size: u8,
/// }
///
/// fn twenty() -> u8 { 20 }
///
/// async fn list(Valid(Cookies(preferences)): Valid<Cookies<Preferences>>) -> String {
///     preferences.page_size.to_string()
/// }
///
/// let app: Router = Router::new().route("/", get(list));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Cookies<T>(
    /// What was read.
    pub T,
);

impl<T: DeserializeOwned + HasRules> Extractor for Headers<T> {}

impl<T> OfTexts for Headers<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Send + Sync + 'static,
{
    type Value = T;
    type Context = T::Context;

    async fn texts(head: &mut request::Parts) -> Result<Texts, ApiError> {
        let letters = |name: &str| {
            name.chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|char| char.to_ascii_lowercase())
                .collect::<String>()
        };
        let mut asked = Asked::new::<T>(IssueSource::Headers, Naming::Dashed);
        for (name, value) in &head.headers {
            let header = letters(name.as_str());
            if let Some(field) = asked.field(name.as_str(), |field| letters(field) == header) {
                let text = std::str::from_utf8(value.as_bytes()).map(str::trim);
                asked.texts.add(&field, text.ok().map(Cow::Borrowed));
            }
        }
        Ok(asked.texts)
    }

    fn from_value(value: T) -> Self {
        Self(value)
    }
}

impl<T: DeserializeOwned + HasRules> Extractor for Cookies<T> {}

impl<T> OfTexts for Cookies<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Send + Sync + 'static,
{
    type Value = T;
    type Context = T::Context;

    async fn texts(head: &mut request::Parts) -> Result<Texts, ApiError> {
        let mut asked = Asked::new::<T>(IssueSource::Cookie, Naming::AsIs);
        for (name, value) in cookies(&head.headers) {
            // A name is a token (RFC 6265, section 4.1.1), which is ASCII.
            let Ok(name) = std::str::from_utf8(name) else { continue };
            if let Some(field) = asked.field(name, |field| field == name) {
                let text = percent_decode(value).decode_utf8();
                asked.texts.add(&field, text.ok());
            }
        }
        Ok(asked.texts)
    }

    fn from_value(value: T) -> Self {
        Self(value)
    }
}

/// The fields of a type. A type that does not list its fields gets all names.
struct Asked {
    fields: Option<&'static [&'static str]>,
    texts: Texts,
}

impl Asked {
    fn new<T: DeserializeOwned>(source: IssueSource, naming: Naming) -> Self {
        let fields = match asked_for::<T>() {
            Some(Shape::Struct(fields)) => Some(fields),
            _ => None,
        };
        Self { fields, texts: Texts::named(source, naming) }
    }

    /// Returns the name that serde has for the field of `name`.
    fn field<'n>(&self, name: &'n str, is_it: impl Fn(&str) -> bool) -> Option<Cow<'n, str>> {
        match self.fields {
            Some(fields) => fields.iter().find(|field| is_it(field)).map(|field| (*field).into()),
            None => Some(name.into()),
        }
    }
}
