//! `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)).

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use super::{
    address::{LONGEST, parse_node},
    elements::{from_the_right, without_space_around},
    model::FORWARDED,
};
use crate::syntax::is_token_byte;

/// The most bytes of `Forwarded` that are read: all of it is looked at before any of it counts.
const MOST_BYTES: usize = 8 * 1024;

/// Why none of the header counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Returns the addresses of the `for` nodes, from the right. `None` is a hop without an address.
///
/// Elements are split at each comma, also inside quotes, which leaves two malformed halves. This is stricter than section 4,
/// because a client that sends `for="` to a proxy that appends to the line would make the proxy's element part of a quoted
/// string. Nodes, hosts and schemes contain no commas.
pub(super) fn addresses_from_the_right(
    headers: &HeaderMap,
) -> Result<impl Iterator<Item = Option<IpAddr>>, Malformed> {
    let bytes: usize = headers.get_all(&FORWARDED).iter().map(HeaderValue::len).sum();
    if bytes > MOST_BYTES {
        return Err(Malformed);
    }
    for element in from_the_right(headers, &FORWARDED) {
        for_of(element)?;
    }
    let nodes = from_the_right(headers, &FORWARDED).map(|element| for_of(element).ok().flatten());
    Ok(nodes.map(|node| address_of(node?)))
}

/// The value of the parameter `for`, without quotes around it and with its escapes still inside.
fn for_of(element: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut node = None;
    let mut seen = [false; KNOWN.len()];
    let mut rest = element;
    loop {
        rest = without_space_around(rest);
        // Pairs may be left out: `for=192.0.2.1;;` is well-formed (section 4).
        match rest {
            [] => return Ok(node),
            [b';', more @ ..] => {
                rest = more;
                continue;
            }
            _ => {}
        }
        let (name, more) = token(rest)?;
        let (value, more) = value(more.strip_prefix(b"=").ok_or(Malformed)?)?;
        if let Some(at) = KNOWN.iter().position(|known| name.eq_ignore_ascii_case(known)) {
            // Each parameter comes once only (section 4).
            if std::mem::replace(&mut seen[at], true) {
                return Err(Malformed);
            }
            if at == FOR {
                node = Some(value);
            }
        }
        rest = without_space_around(more);
        if !matches!(rest, [] | [b';', ..]) {
            return Err(Malformed);
        }
    }
}

/// The parameters of section 5.
const KNOWN: [&[u8]; 4] = [b"for", b"by", b"host", b"proto"];
const FOR: usize = 0;

/// Returns a token or a quoted string, and the rest.
fn value(text: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    match text.strip_prefix(b"\"") {
        Some(text) => quoted(text),
        None => token(text),
    }
}

/// RFC 9110, section 5.6.2.
fn token(text: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = text.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(text.len());
    if end == 0 { Err(Malformed) } else { Ok(text.split_at(end)) }
}

/// Returns the text before the closing quote, and the rest (RFC 9110, section 5.6.4).
fn quoted(text: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut at = 0;
    loop {
        match text.get(at..).unwrap_or_default() {
            [b'"', rest @ ..] => return Ok((&text[..at], rest)),
            [b'\\', byte, ..] if is_text_byte(*byte) => at += 2,
            [b'\\', ..] => return Err(Malformed),
            [byte, ..] if is_text_byte(*byte) => at += 1,
            _ => return Err(Malformed),
        }
    }
}

fn is_text_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn address_of(node: &[u8]) -> Option<IpAddr> {
    if !node.contains(&b'\\') {
        return parse_node(node);
    }
    let mut plain = [0; LONGEST];
    let mut length = 0;
    let mut bytes = node.iter();
    while let Some(byte) = bytes.next() {
        let byte = if *byte == b'\\' { bytes.next()? } else { byte };
        *plain.get_mut(length)? = *byte;
        length += 1;
    }
    parse_node(&plain[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(lines: &[&str]) -> Result<Vec<String>, Malformed> {
        let headers: HeaderMap =
            lines.iter().map(|line| (http::header::FORWARDED, line.parse().unwrap())).collect();
        let addresses = addresses_from_the_right(&headers)?;
        Ok(addresses.map(|it| it.map_or("none".to_owned(), |it| it.to_string())).collect())
    }

    #[test]
    fn parses_every_legal_form_of_a_node() {
        for (line, address) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=192.0.2.1", "192.0.2.1"),
            ("FOR=\"192.0.2.1\"", "192.0.2.1"),
            ("for=\"192.0.2.1:4711\"", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\";proto=https;host=a.example", "2001:db8::1"),
            ("proto=https; by=203.0.113.43 ; for=192.0.2.1", "192.0.2.1"),
            ("for=\"\\[2001:db8\\:\\:1\\]\"", "2001:db8::1"),
            ("for=\"1\\92.0.2.1\"", "192.0.2.1"),
            ("for=\"[::ffff:c000:201]\"", "192.0.2.1"),
            ("for=\"[fe80::1%eth0]\"", "fe80::1"),
            ("for=192.0.2.1;;extension=\"any; thing=\\\" here\";", "192.0.2.1"),
            ("for=unknown", "none"),
            ("for=_SEVKISEK", "none"),
            ("for=\"_gazonk:80\"", "none"),
            ("for=\"\"", "none"),
            ("for=\"2001:db8::1\"", "none"),
            ("for=0.0.0.0", "none"),
            ("proto=https", "none"),
            ("", "none"),
            ("host=\"a\\\\\";for=192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(addresses(&[line]), Ok(vec![address.to_owned()]), "{line}");
        }
    }

    #[test]
    fn malformed_element_invalidates_the_whole_field() {
        for fault in [
            "for",
            "for=",
            "=192.0.2.1",
            "for =192.0.2.1",
            "for= 192.0.2.1",
            "for=192.0.2.1:4711",
            "for=[2001:db8::1]",
            "for=192.0.2.1 proto=https",
            "for=\"192.0.2.1",
            "for=192.0.2.1\"",
            "for=\"192.0.2.1\"x",
            "for=\"192.0.2.1\\",
            "for=\"192.0.2.1\\\"",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1;FOR=192.0.2.1",
            "for=192.0.2.1;proto=http;proto=https",
            "for=192.0.2.1;host=a;host=b",
            "for=\"a,b\"",
            "192.0.2.1",
            "för=192.0.2.1",
        ] {
            for line in [fault.to_owned(), format!("{fault}, for=192.0.2.9")] {
                assert_eq!(addresses(&[&line]), Err(Malformed), "{line}");
            }
            assert_eq!(addresses(&[fault, "for=192.0.2.9"]), Err(Malformed), "{fault}");
            assert_eq!(addresses(&["for=192.0.2.9", fault]), Err(Malformed), "{fault}");
        }
    }

    #[test]
    fn open_quote_of_a_client_hides_no_proxy_element() {
        for line in [
            // the proxy appended `, for=198.51.100.1;host="…"`, with a Host that the client chose
            "for=\", for=198.51.100.1;host=\"",
            "x=\", for=198.51.100.1;host=\";for=203.0.113.7;y=\"\"",
            "for=203.0.113.7;x=\", for=198.51.100.1;host=\"",
            "for=203.0.113.7;x=\"\\, for=198.51.100.1;host=\"",
        ] {
            assert_eq!(addresses(&[line]), Err(Malformed), "{line}");
        }
        assert_eq!(addresses(&["for=203.0.113.7;x=\"", "\";for=198.51.100.1"]), Err(Malformed));
    }

    #[test]
    fn field_over_8_kilobytes_is_malformed() {
        let mut line = ",".repeat(MOST_BYTES);
        assert_eq!(addresses(&[&line]).unwrap().len(), MOST_BYTES + 1);
        line.push(',');
        assert_eq!(addresses(&[&line]), Err(Malformed));
    }
}
