use http::{HeaderName, HeaderValue, response};

/// The tags of a response, in its extensions: what [`Purge::tag`](crate::Purge::tag) removes it by. The header field `Cache-Tag: a, b` has
/// the same effect, and clients see it.
///
/// ```
/// use http::Response;
/// use palisade_cache::CacheTags;
///
/// let response = Response::builder().extension(CacheTags::new(["posts", "post-1"])).body("…")?;
/// # Ok::<_, http::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheTags(Vec<Box<str>>);

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

impl CacheTags {
    /// Returns these tags.
    pub fn new<T: Into<Box<str>>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self(tags.into_iter().map(Into::into).collect())
    }

    pub(crate) fn of_response(response: &response::Parts) -> Vec<Box<str>> {
        let lines = response.headers.get_all(CACHE_TAG).iter().map(HeaderValue::as_bytes);
        let elements = lines.flat_map(|line| line.split(|byte| *byte == b','));
        let written = elements.filter_map(|tag| std::str::from_utf8(tag.trim_ascii()).ok());
        let written = written.filter(|tag| !tag.is_empty()).map(Box::from);
        let own = response.extensions.get::<Self>().map(|tags| tags.0.clone());
        let mut tags: Vec<Box<str>> = written.chain(own.into_iter().flatten()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}
