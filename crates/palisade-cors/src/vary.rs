use http::{HeaderMap, HeaderValue, header};

/// Adds `Origin` to what caches must tell responses apart by (RFC 9110, section 12.5.5), unless it is there already.
///
/// What the service has said itself stays as it is; ours becomes a line of its own.
#[inline]
pub(crate) fn add_origin(response: &mut HeaderMap) {
    if !names_origin(response) {
        response.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

fn names_origin(response: &HeaderMap) -> bool {
    let mut lines = response.get_all(header::VARY).iter();
    lines.any(|line| line.as_bytes().split(|byte| *byte == b',').any(covers_origin))
}

/// `*` says more than `Origin` does.
fn covers_origin(element: &[u8]) -> bool {
    let name = element.trim_ascii();
    name == b"*" || name.eq_ignore_ascii_case(b"origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_added_once_and_what_was_there_stays() {
        let table: &[(&[&str], &[&str])] = &[
            (&[], &["Origin"]),
            (&["Accept-Encoding"], &["Accept-Encoding", "Origin"]),
            (&["Accept-Encoding, Cookie"], &["Accept-Encoding, Cookie", "Origin"]),
            (&["x-origin", "original"], &["x-origin", "original", "Origin"]),
            (&[""], &["", "Origin"]),
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
            add_origin(&mut headers);
            let lines: Vec<_> = headers.get_all(header::VARY).iter().collect();
            assert_eq!(lines, *after, "{before:?}");
        }
    }
}
