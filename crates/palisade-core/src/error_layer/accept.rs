//! Negotiates the error format by `Accept` (RFC 9110, section 12.5.1).

use http::{HeaderMap, HeaderValue, header};

use crate::{ErrorFormat, syntax::is_token};

/// Returns the `Accept` of a request, for rendering a later error.
pub(super) fn header(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(header::ACCEPT).iter();
    let first = lines.next()?;
    let Some(second) = lines.next() else { return Some(first.clone()) };
    // Lines of a list are one list.
    let mut all = first.as_bytes().to_vec();
    for line in std::iter::once(second).chain(lines) {
        all.push(b',');
        all.extend_from_slice(line.as_bytes());
    }
    HeaderValue::from_bytes(&all).ok()
}

/// Returns the format with the highest weight. Among equals, the configured format comes first, then problem details, JSON,
/// text and HTML. A client without a valid `Accept` gets the configured format, and a client that accepts none of them plain
/// text.
pub(super) fn choose(
    accept: Option<&HeaderValue>,
    chosen: &ErrorFormat,
    html: bool,
) -> ErrorFormat {
    let Some(ranges) = accept.and_then(|accept| parse(accept.as_bytes())) else {
        return chosen.clone();
    };
    let json = match chosen {
        ErrorFormat::Flat => ErrorFormat::Flat,
        _ => ErrorFormat::Envelope,
    };
    let mut best = (0, ErrorFormat::Text);
    let html = html.then_some(ErrorFormat::Html);
    let offers = [chosen.clone(), ErrorFormat::Problem, json, ErrorFormat::Text].into_iter();
    for offer in offers.chain(html) {
        let quality = quality(&ranges, &offer);
        if quality > best.0 {
            best = (quality, offer);
        }
    }
    best.1
}

/// A media range, and how much it is liked, in thousandths.
struct Range<'a> {
    kind: &'a [u8],
    subtype: &'a [u8],
    quality: u16,
}

/// The quality of the most specific range that covers the format; none is 0.
fn quality(ranges: &[Range<'_>], offer: &ErrorFormat) -> u16 {
    // The media type of a custom format is not known in advance, so it matches only `*/*`.
    let (kind, subtype) = offer.media_type().split_once('/').unwrap_or(("", ""));
    let subtype = subtype.split(';').next().unwrap_or_default();
    let specificity = |range: &Range<'_>| {
        let is = |mine: &[u8], theirs: &str| mine.eq_ignore_ascii_case(theirs.as_bytes());
        match (range.kind, range.subtype) {
            (b"*", b"*") => Some(0),
            (of, b"*") if is(of, kind) => Some(1),
            (of, sub) if is(of, kind) && is(sub, subtype) => Some(2),
            _ => None,
        }
    };
    let matching = ranges.iter().filter_map(|range| Some((specificity(range)?, range.quality)));
    matching.max().map_or(0, |(_, quality)| quality)
}

/// The most media ranges that are read. Browsers send fewer than ten.
const MAX_RANGES: usize = 64;

/// Returns `None` if the field is malformed, empty or too long.
fn parse(accept: &[u8]) -> Option<Vec<Range<'_>>> {
    let mut ranges = Vec::new();
    for element in outside_quotes(accept, b',') {
        let element = element.trim_ascii();
        // A list may have empty elements (RFC 9110, section 5.6.1.2).
        if element.is_empty() {
            continue;
        }
        let mut parts = outside_quotes(element, b';').map(<[u8]>::trim_ascii);
        let range = parts.next()?;
        let slash = range.iter().position(|byte| *byte == b'/')?;
        let (kind, subtype) = (&range[..slash], &range[slash + 1..]);
        if !is_token(kind) || !is_token(subtype) || (kind == b"*" && subtype != b"*") {
            return None;
        }
        let mut quality = 1000;
        for parameter in parts {
            if parameter.is_empty() {
                continue;
            }
            let equals = parameter.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
            if !is_token(name) {
                return None;
            }
            if name.eq_ignore_ascii_case(b"q") {
                quality = weight(value)?;
            }
        }
        if ranges.len() == MAX_RANGES {
            return None;
        }
        ranges.push(Range { kind, subtype, quality });
    }
    (!ranges.is_empty()).then_some(ranges)
}

/// `0`, `0.5`, `1.000`: at most three decimals, and at most 1 (RFC 9110, section 12.4.2).
fn weight(value: &[u8]) -> Option<u16> {
    let (whole, decimals) = match value {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let mut thousandths = digit(whole)? * 1000;
    for (decimal, worth) in decimals.iter().zip([100, 10, 1]) {
        thousandths += digit(decimal)? * worth;
    }
    (thousandths <= 1000).then_some(thousandths)
}

/// Splits where `at` is not part of a quoted string.
fn outside_quotes(text: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        if escaped {
            escaped = false;
        } else if quoted && *byte == b'\\' {
            escaped = true;
        } else if *byte == b'"' {
            quoted = !quoted;
        } else {
            return !quoted && *byte == at;
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &[&str], format: &ErrorFormat, html: bool) -> String {
        let line = |line: &&str| (header::ACCEPT, HeaderValue::from_str(line).unwrap());
        let headers: HeaderMap = accept.iter().map(line).collect();
        format!("{:?}", choose(header(&headers).as_ref(), format, html))
    }

    #[test]
    fn negotiates_the_preferred_format() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, format) in [
            (&["application/problem+json"][..], "Problem"),
            (&["Application/JSON"], "Envelope"),
            (&["text/plain"], "Text"),
            (&["text/plain; charset=utf-8"], "Text"),
            (&["application/*"], "Envelope"),
            (&["text/*"], "Text"),
            (&["*/*"], "Envelope"),
            (&["application/json;q=0.5, application/problem+json"], "Problem"),
            (&["application/json;q=0.5", "application/problem+json"], "Problem"),
            (&["application/json;q=0.5;x=\"a,b;q=1\", text/plain;q=0.6"], "Text"),
            (&["application/problem+json;q=0.001, application/json;q=0.002"], "Envelope"),
            (&["application/*, application/json;q=0"], "Problem"),
            (&["*/*, application/json;q=0, application/problem+json;q=0."], "Text"),
            // No supported format, so the error is plain text.
            (&["image/png"], "Text"),
            (&["*/*;q=0"], "Text"),
            (&[browser], "Envelope"),
            (&["text/html"], "Text"),
        ] {
            assert_eq!(chosen(accept, &ErrorFormat::Envelope, false), format, "{accept:?}");
        }
        assert_eq!(chosen(&[browser], &ErrorFormat::Envelope, true), "Html");
        assert_eq!(chosen(&["*/*"], &ErrorFormat::Envelope, true), "Envelope");
        assert_eq!(chosen(&["*/*"], &ErrorFormat::Problem, true), "Problem");
        assert_eq!(chosen(&["application/json"], &ErrorFormat::Problem, true), "Envelope");
        assert_eq!(chosen(&["application/json"], &ErrorFormat::Flat, true), "Flat");
        let own = ErrorFormat::custom(|_, _| http::Response::default());
        assert_eq!(chosen(&["*/*"], &own, false), "Custom");
        assert_eq!(chosen(&["application/*"], &own, false), "Problem");
    }

    #[test]
    fn malformed_accept_is_ignored() {
        for accept in [
            "",
            ",",
            "json",
            "text/",
            "/plain",
            "*/json",
            "text/plain;q=2",
            "text/plain;q=1.001",
            "text/plain;q=0.1234",
            "text/plain;q=-1",
            "text/plain;q=",
            "text/plain;q",
            "text/plain, tex t/html",
            "text/plain, \"open",
        ] {
            assert_eq!(chosen(&[accept], &ErrorFormat::Flat, true), "Flat", "{accept:?}");
        }
        assert_eq!(chosen(&[], &ErrorFormat::Flat, true), "Flat");
        let many = |count| format!("{}text/plain", "a/b,".repeat(count));
        assert_eq!(chosen(&[&many(MAX_RANGES - 1)], &ErrorFormat::Flat, true), "Text");
        assert_eq!(chosen(&[&many(MAX_RANGES)], &ErrorFormat::Flat, true), "Flat");
    }
}
