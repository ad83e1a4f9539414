use http::{
    HeaderMap, HeaderValue,
    header::{self, Entry},
};

use crate::set_header;

/// Adds a name to `Vary` (RFC 9110, section 12.5.5), unless it is present.
///
/// All names are joined into one line, because nginx before 1.23 reads only the last of several lines and would serve a
/// response to the wrong clients.
///
/// Returns false without changes if the response has the maximum number of header fields (24,576). The caller must then omit
/// the part that differs between clients.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use palisade_core::vary_by;
///
/// let mut headers = HeaderMap::new();
/// vary_by(&mut headers, &HeaderValue::from_static("Origin"));
/// vary_by(&mut headers, &HeaderValue::from_static("Cookie"));
/// vary_by(&mut headers, &HeaderValue::from_static("Origin"));
/// assert_eq!(headers.get_all("vary").iter().collect::<Vec<_>>(), ["Origin, Cookie"]);
/// ```
#[inline]
pub fn vary_by(response: &mut HeaderMap, name: &HeaderValue) -> bool {
    // One look-up for a response without the field, as most are.
    if let Ok(Entry::Vacant(place)) = response.try_entry(header::VARY) {
        return place.try_insert(name.clone()).is_ok();
    }
    if names(response, name.as_bytes()) {
        return true;
    }
    let value = joined(response, name).unwrap_or_else(|| name.clone());
    set_header(response, header::VARY, value)
}

/// Joins the names of all lines and `name`. Returns `None` without lines.
fn joined(response: &HeaderMap, name: &HeaderValue) -> Option<HeaderValue> {
    let mut lines = response.get_all(header::VARY).iter().filter(|line| !line.is_empty());
    let mut all = lines.next()?.as_bytes().to_vec();
    for line in lines.chain([name]) {
        all.extend_from_slice(b", ");
        all.extend_from_slice(line.as_bytes());
    }
    HeaderValue::try_from(all).ok()
}

fn names(response: &HeaderMap, name: &[u8]) -> bool {
    let mut lines = response.get_all(header::VARY).iter();
    lines.any(|line| line.as_bytes().split(|byte| *byte == b',').any(|own| covers(own, name)))
}

/// Returns true if the element is the name or `*`.
fn covers(element: &[u8], name: &[u8]) -> bool {
    let element = element.trim_ascii();
    element == b"*" || element.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_adds_a_name_once_and_joins_lines() {
        let table: &[(&[&str], &[&str])] = &[
            (&[], &["Origin"]),
            (&["Accept-Encoding"], &["Accept-Encoding, Origin"]),
            (&["Accept-Encoding, Cookie"], &["Accept-Encoding, Cookie, Origin"]),
            (&["x-origin", "original"], &["x-origin, original, Origin"]),
            (&["", "Accept"], &["Accept, Origin"]),
            (&[""], &["Origin"]),
            (&["Origin"], &["Origin"]),
            (&["origin"], &["origin"]),
            (&["Accept, ORIGIN ,Cookie"], &["Accept, ORIGIN ,Cookie"]),
            (&["Accept", "Origin"], &["Accept", "Origin"]),
            (&["*"], &["*"]),
            (&["Accept", " * "], &["Accept", " * "]),
        ];
        for (before, after) in table {
            let line = |line: &&str| (header::VARY, HeaderValue::from_str(line).unwrap());
            let mut headers: HeaderMap = before.iter().map(line).collect();
            vary_by(&mut headers, &HeaderValue::from_static("Origin"));
            let lines: Vec<_> = headers.get_all(header::VARY).iter().collect();
            assert_eq!(lines, *after, "{before:?}");
        }
    }
}
