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
    // `try_insert` removes many lines one by one, as `HeaderMap::remove` does.
    let has_many_lines = cfg!(debug_assertions) && headers.get_all(&name).iter().nth(1).is_some();
    // `try_insert` wants room for one more even if the name is there already. A map that is far from full has it.
    let is_full = headers.keys_len() >= FAR_FROM_FULL && headers.try_reserve(1).is_err();
    if has_many_lines || is_full {
        remove_header(headers, &name);
    }
    headers.try_insert(name, value).is_ok()
}

/// A map of so many header fields has room for more: it has at most 24,576.
const FAR_FROM_FULL: usize = 16_384;

/// Removes a header, which a client may have sent in thousands of lines. `HeaderMap::remove` takes them out one by one, and
/// checks all others each time if debug assertions are on. This function takes time in proportion to their number in every
/// build.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header};
/// use palisade_core::remove_header;
///
/// let mut headers = HeaderMap::new();
/// headers.append(header::COOKIE, HeaderValue::from_static("a=1"));
/// headers.append(header::HOST, HeaderValue::from_static("api.example.com"));
/// headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
/// remove_header(&mut headers, &header::COOKIE);
/// assert_eq!(headers.len(), 1);
/// ```
pub fn remove_header(headers: &mut HeaderMap, name: &HeaderName) {
    if headers.get_all(name).iter().nth(1).is_none() {
        headers.remove(name);
        return;
    }
    let mut current = None;
    for (name_of_line, value) in std::mem::take(headers) {
        // Further lines of a field come without its name.
        current = name_of_line.or(current);
        if let Some(current) = current.as_ref().filter(|current| *current != name) {
            // There is room: the map had all of them before.
            let _ = headers.try_append(current.clone(), value);
        }
    }
}
