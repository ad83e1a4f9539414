//! Keys from the head of a request.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use http::{HeaderName, HeaderValue, header::GetAll, request};
use palisade_core::ApiError;

use super::Key;

/// Counts by the value of a header field, including all of its lines.
///
/// Use only verified fields: one that a gateway sets, or an API key that an outer policy has checked. A client that chooses the
/// value chooses its quota. A request without the field is rejected with 400;
/// [`missing_key`](crate::RateLimitBuilder::missing_key) changes this.
///
/// ```
/// use http::HeaderName;
/// use palisade_rate_limit::{ByHeader, Key};
///
/// let (mut head, ()) = http::Request::get("/").header("x-tenant", "acme").body(()).unwrap().into_parts();
/// let tenant = ByHeader::new(HeaderName::from_static("x-tenant"));
/// assert_eq!(tenant.key(&head).unwrap().to_string(), "acme");
/// head.headers.remove("x-tenant");
/// assert_eq!(tenant.key(&head).unwrap_err().status(), 400);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHeader {
    name: HeaderName,
}

impl ByHeader {
    /// Creates a key from this field.
    pub const fn new(name: HeaderName) -> Self {
        Self { name }
    }
}

impl Key for ByHeader {
    type Of<'r> = FieldLines<'r>;

    fn key<'r>(&self, request: &'r request::Parts) -> Result<Self::Of<'r>, ApiError> {
        let lines = request.headers.get_all(&self.name);
        if lines.iter().next().is_none() {
            let message = format!("the header field {} is missing", self.name);
            return Err(ApiError::bad_request().with_message(message));
        }
        Ok(FieldLines(Lines::All(lines)))
    }
}

/// The lines of a header field, as a key.
pub struct FieldLines<'r>(Lines<'r>);

enum Lines<'r> {
    All(GetAll<'r, HeaderValue>),
    One(&'r [u8]),
}

impl<'r> FieldLines<'r> {
    /// Returns the key of a field with one line, for calls without a request such as [`check`](crate::RateLimit::check).
    ///
    /// ```
    /// # use palisade_rate_limit::FieldLines;
    /// assert_eq!(FieldLines::from_value("acme").to_string(), "acme");
    /// ```
    pub const fn from_value(value: &'r str) -> Self {
        Self(Lines::One(value.as_bytes()))
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (all, one) = match &self.0 {
            Lines::All(lines) => (Some(lines), None),
            Lines::One(line) => (None, Some(*line)),
        };
        all.into_iter().flatten().map(HeaderValue::as_bytes).chain(one)
    }
}

impl Hash for FieldLines<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // The number of lines, and each with its length, so that no two lists have the same input.
        self.iter().count().hash(hasher);
        for line in self.iter() {
            line.hash(hasher);
        }
    }
}

impl fmt::Display for FieldLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{}", line.escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for FieldLines<'_> {
    /// Hides the value, which may be a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldLines(..)")
    }
}

/// Counts by the method. Combine it with another key: `(ByAddress::default(), ByMethod)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByMethod;

impl Key for ByMethod {
    type Of<'r> = &'r [u8];

    fn key<'r>(&self, request: &'r request::Parts) -> Result<&'r [u8], ApiError> {
        Ok(request.method.as_str().as_bytes())
    }
}

/// Counts by the template of the route if the framework provides it (axum, with the feature `axum`), else by the path.
///
/// Clients can vary a path with parameters, and get a new quota for each variant. Add the limit to the route with
/// [`route_layer`](https://docs.rs/axum/0.8/axum/struct.Router.html), where the template is known.
///
/// ```
/// use palisade_rate_limit::{ByPath, Key};
///
/// let (head, ()) = http::Request::get("/orders?page=2").body(()).unwrap().into_parts();
/// assert_eq!(ByPath.key(&head).unwrap(), b"/orders");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByPath;

impl Key for ByPath {
    type Of<'r> = &'r [u8];

    fn key<'r>(&self, request: &'r request::Parts) -> Result<&'r [u8], ApiError> {
        #[cfg(feature = "axum")]
        if let Some(route) = request.extensions.get::<axum::extract::MatchedPath>() {
            return Ok(route.as_str().as_bytes());
        }
        Ok(request.uri.path().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn value_and_request_have_the_same_key() {
        let random = RandomState::new();
        let request = http::Request::get("/").header("x-tenant", "acme").body(()).unwrap();
        let (head, ()) = request.into_parts();
        let key = ByHeader::new(HeaderName::from_static("x-tenant")).key(&head).unwrap();
        assert_eq!(random.hash_one(FieldLines::from_value("acme")), random.hash_one(key));
        assert_ne!(
            random.hash_one(FieldLines::from_value("acm")),
            random.hash_one(FieldLines::from_value("acme"))
        );
    }

    #[test]
    fn different_tuples_have_different_keys() {
        let random = RandomState::new();
        let hash = |method: &str, path: &str, a: &str, b: &str| {
            let request = http::Request::builder().method(method).uri(path);
            let request = request.header("a", a).header("b", b);
            let (head, ()) = request.body(()).unwrap().into_parts();
            let [a, b] = ["a", "b"].map(|name| ByHeader::new(HeaderName::from_static(name)));
            random.hash_one((ByMethod, ByPath, (a, b)).key(&head).unwrap())
        };
        assert_eq!(hash("GET", "/x?1", "p", "q"), hash("GET", "/x?2", "p", "q"));
        assert_ne!(hash("GET", "/x", "p", "q"), hash("PUT", "/x", "p", "q"));
        assert_ne!(hash("GET", "/x", "p", "q"), hash("GET", "/y", "p", "q"));
        assert_ne!(hash("GET", "/x", "pq", ""), hash("GET", "/x", "p", "q"));
        assert_ne!(hash("GET", "/x", "", "pq"), hash("GET", "/x", "p", "q"));
    }

    #[test]
    fn lines_of_a_field_are_hashed_with_their_lengths() {
        let random = RandomState::new();
        let key = |lines: &[&str]| {
            let request = lines
                .iter()
                .fold(http::Request::get("/"), |request, line| request.header("x-tenant", *line));
            let (head, ()) = request.body(()).unwrap().into_parts();
            let tenant = ByHeader::new(HeaderName::from_static("x-tenant"));
            random.hash_one(tenant.key(&head).unwrap())
        };
        assert_ne!(key(&["a", "b"]), key(&["ab"]));
        assert_ne!(key(&["a"]), key(&["a", "a"]));
    }
}
