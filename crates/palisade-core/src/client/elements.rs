//! Reads a list header from the end, so that the element of the nearest proxy comes first.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The elements of all field lines of a header, from the right.
///
/// Lines are joined in their order ([RFC 9110, section 5.3](https://www.rfc-editor.org/rfc/rfc9110#section-5.3)). Empty
/// elements are returned too, although lists may contain them (section 5.6.1), because the elements left of an empty one cannot
/// be trusted.
pub(super) fn from_the_right<'r>(
    headers: &'r HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'r [u8]> + use<'r> {
    let lines = headers.get_all(name).into_iter().rev().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.rsplit(|byte| *byte == b',')).map(without_space_around)
}

/// Without spaces and tabs at both ends.
pub(super) fn without_space_around(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use http::header::FORWARDED;

    use super::*;

    fn elements(lines: &[&str]) -> Vec<String> {
        let headers: HeaderMap =
            lines.iter().map(|line| (FORWARDED, line.parse().unwrap())).collect();
        from_the_right(&headers, &FORWARDED)
            .map(|element| String::from_utf8_lossy(element).into_owned())
            .collect()
    }

    #[test]
    fn list_elements_are_read_from_the_right_across_lines() {
        assert_eq!(elements(&[]), [""; 0]);
        assert_eq!(elements(&["a"]), ["a"]);
        assert_eq!(elements(&["a, b ,\tc", "d,e"]), ["e", "d", "c", "b", "a"]);
        assert_eq!(elements(&["a,", "", ", b"]), ["b", "", "", "", "a"]);
    }
}
