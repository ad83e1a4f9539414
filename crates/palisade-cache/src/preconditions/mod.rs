//! Conditional requests ([RFC 9110, section 13](https://www.rfc-editor.org/rfc/rfc9110#section-13)).

mod entity_tag;
#[cfg(feature = "axum")]
mod extractor;
mod require;
#[cfg(test)]
mod tests;

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request};
use palisade_core::{ApiError, set_header};

pub use entity_tag::EntityTag;
pub use require::RequirePrecondition;

use crate::rules::unix_of_date;
use entity_tag::split_first;

/// The version of a resource: what the conditions of a request are compared with.
///
/// In the extensions of a response, [`Cache`](crate::Cache) and [`ETag`](crate::ETag) write it into `ETag` and `Last-Modified`, if
/// the response does not have these fields.
///
/// ```
/// use std::time::Duration;
/// use palisade_cache::{EntityTag, Validators};
///
/// let version = Validators::etag(EntityTag::strong("7")?).modified(Duration::from_secs(1_700_000_000));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Validators {
    etag: Option<EntityTag>,
    modified: Option<Duration>,
    is_absent: bool,
}

impl Validators {
    /// Returns the version with this tag.
    pub fn etag(tag: EntityTag) -> Self {
        Self { etag: Some(tag), ..Self::default() }
    }

    /// Returns the version that was last modified at this time since the Unix epoch, in whole seconds.
    pub fn last_modified(unix: Duration) -> Self {
        Self::default().modified(unix)
    }

    /// Returns the version of a resource that does not exist: `If-None-Match: *` is true, and each `If-Match` is false.
    pub fn absent() -> Self {
        Self { is_absent: true, ..Self::default() }
    }

    /// Sets the time of the last modification, since the Unix epoch.
    #[must_use]
    pub fn modified(mut self, unix: Duration) -> Self {
        self.modified = Some(Duration::from_secs(unix.as_secs()));
        self
    }

    /// Writes the version into a response that states none.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let (Some(etag), false) = (&self.etag, headers.contains_key(header::ETAG)) {
            set_header(headers, header::ETAG, etag.to_header());
        }
        if let (Some(modified), false) =
            (self.modified, headers.contains_key(header::LAST_MODIFIED))
            && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + modified))
        {
            set_header(headers, header::LAST_MODIFIED, date);
        }
    }

    /// Returns the version that a response states.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        Self {
            etag: headers.get(header::ETAG).and_then(EntityTag::from_header),
            modified: unix_of_date(headers, &header::LAST_MODIFIED),
            is_absent: false,
        }
    }
}

/// The conditions of a request: `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since`.
///
/// A handler that changes a resource checks them against the current version, so that a client does not overwrite the change
/// of another ("lost update"). With the feature `axum` it is a parameter of handlers.
///
/// ```
/// use http::Request;
/// use palisade_cache::{EntityTag, Preconditions, Validators};
///
/// let (request, ()) = Request::put("/posts/1").header("if-match", "\"6\"").body(())?.into_parts();
/// let conditions = Preconditions::from_request(&request);
/// let current = Validators::etag(EntityTag::strong("7")?);
/// assert_eq!(conditions.check(&current).unwrap_err().status(), 412);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    /// A date that is invalid does not count.
    if_unmodified_since: Option<Duration>,
    if_modified_since: Option<Duration>,
    is_read: bool,
}

/// What the conditions of a request demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The method is performed.
    Proceed,
    /// The client has this version: 304.
    NotModified,
    /// 412.
    Failed,
}

impl Preconditions {
    /// Returns the conditions of a request.
    pub fn from_request(request: &request::Parts) -> Self {
        Self::of_headers(&request.method, &request.headers)
    }

    pub(crate) fn of_headers(method: &Method, headers: &HeaderMap) -> Self {
        Self {
            if_match: Tags::of_headers(headers, &header::IF_MATCH),
            if_none_match: Tags::of_headers(headers, &header::IF_NONE_MATCH),
            if_unmodified_since: unix_of_date(headers, &header::IF_UNMODIFIED_SINCE),
            if_modified_since: unix_of_date(headers, &header::IF_MODIFIED_SINCE),
            is_read: matches!(*method, Method::GET | Method::HEAD),
        }
    }

    /// Returns true if the request has none.
    pub fn is_empty(&self) -> bool {
        let Self { if_match, if_none_match, if_unmodified_since, if_modified_since, .. } = self;
        if_match.is_none()
            && if_none_match.is_none()
            && if_unmodified_since.is_none()
            && if_modified_since.is_none()
    }

    /// Checks the conditions against the current version of the resource, before the method is performed.
    ///
    /// # Errors
    ///
    /// 412 `PRECONDITION_FAILED` if a condition is false. A GET whose client has the current version passes: the
    /// [`ETag`](crate::ETag) layer answers it with 304.
    pub fn check(&self, current: &Validators) -> Result<(), ApiError> {
        match self.evaluate(current) {
            Verdict::Proceed | Verdict::NotModified => Ok(()),
            Verdict::Failed => Err(failed()),
        }
    }

    /// Evaluates the conditions in their order
    /// ([RFC 9110, section 13.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2)).
    pub(crate) fn evaluate(&self, current: &Validators) -> Verdict {
        // Step 1 and, only without `If-Match`, step 2.
        let may_change = match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) => tags.contain(current, EntityTag::matches_strongly),
            (None, Some(date)) => current.modified.is_some_and(|modified| modified <= date),
            (None, None) => true,
        };
        if !may_change {
            return Verdict::Failed;
        }
        // Step 3 and, only without `If-None-Match`, step 4.
        if let Some(tags) = &self.if_none_match {
            return match tags.contain(current, EntityTag::matches_weakly) {
                true if self.is_read => Verdict::NotModified,
                true => Verdict::Failed,
                false => Verdict::Proceed,
            };
        }
        match (self.if_modified_since, current.modified) {
            (Some(date), Some(modified)) if self.is_read && modified <= date => {
                Verdict::NotModified
            }
            _ => Verdict::Proceed,
        }
    }
}

pub(crate) fn failed() -> ApiError {
    ApiError::precondition_failed()
        .with_message("the resource has another version than the request requires: read it again, and repeat the change")
}

/// A list of entity tags, or `*`.
#[derive(Clone, Debug)]
enum Tags {
    Any,
    Listed(Vec<EntityTag>),
}

impl Tags {
    /// Reads all lines of a field. An invalid list ends at its first error: a tag that is not understood matches nothing.
    fn of_headers(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes).peekable();
        lines.peek()?;
        let mut tags = Vec::new();
        for mut line in lines {
            line = line.trim_ascii();
            if line == b"*" {
                return Some(Self::Any);
            }
            while let Some((tag, rest)) = split_first(line) {
                if let Ok(value) = HeaderValue::from_bytes(tag) {
                    tags.extend(EntityTag::from_header(&value));
                }
                line = rest.trim_ascii_start();
                while let Some(rest) = line.strip_prefix(b",") {
                    line = rest.trim_ascii_start();
                }
            }
        }
        Some(Self::Listed(tags))
    }

    fn contain(&self, current: &Validators, same: fn(&EntityTag, &EntityTag) -> bool) -> bool {
        match self {
            Self::Any => !current.is_absent,
            Self::Listed(tags) => {
                current.etag.as_ref().is_some_and(|own| tags.iter().any(|tag| same(own, tag)))
            }
        }
    }
}
