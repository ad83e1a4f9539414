use http::{HeaderMap, HeaderName, HeaderValue};

/// Sets a header, in place of its earlier values. Returns false if there is no room for it; the other headers stay
/// unchanged then.
///
/// A message has at most 24,576 different header fields, and `HeaderMap::insert` panics beyond that. A service may respond
/// with so many, for example a proxy. Policies write headers with this function, or with `HeaderMap::try_append`.
///
/// ```
/// use http::{HeaderMap, HeaderName, HeaderValue, header};
/// use palisade_core::set_header;
///
/// let mut headers: HeaderMap = (0..24_576)
///     .map(|number| HeaderName::try_from(format!("x-{number}")).unwrap())
///     .map(|name| (name, HeaderValue::from_static("old")))
///     .collect();
/// assert!(!set_header(&mut headers, header::SERVER, HeaderValue::from_static("new")));
/// assert!(set_header(&mut headers, HeaderName::from_static("x-7"), HeaderValue::from_static("new")));
/// assert_eq!(headers["x-7"], "new");
/// assert_eq!(headers.len(), 24_576);
/// ```
#[inline]
pub fn set_header(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> bool {
    if headers.try_reserve(1).is_err() {
        // `try_insert` wants room for one more even if the name is there already.
        headers.remove(&name);
    }
    headers.try_insert(name, value).is_ok()
}
