//! An address as proxies write it, in each of the two notations.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::{self, FromStr},
};

/// The longest text that is looked at. An IPv6 address in brackets, with a zone and a port, is shorter.
pub(super) const LONGEST: usize = 96;

/// The address in canonical form, unless it is one that no client can have.
pub(super) fn client_address(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    (!address.is_unspecified()).then_some(address)
}

/// Parses an element of `X-Forwarded-For`, or a header with one address: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:4711`. These are the forms that proxies write; there is no specification.
pub(super) fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = short_text(text)?;
    let is_bare_v6 =
        !text.starts_with('[') && text.bytes().filter(|byte| *byte == b':').count() > 1;
    let address = if is_bare_v6 { v6(text)? } else { with_port(text, is_port)? };
    client_address(address)
}

/// A node of `Forwarded` ([RFC 7239, section 6](https://www.rfc-editor.org/rfc/rfc7239#section-6)), without its quotes.
/// `unknown` and obfuscated nodes have no address.
pub(super) fn parse_node(text: &[u8]) -> Option<IpAddr> {
    let is_node_port = |port: &str| is_port(port) || is_obfuscated(port);
    client_address(with_port(short_text(text)?, is_node_port)?)
}

fn short_text(text: &[u8]) -> Option<&str> {
    if text.len() > LONGEST {
        return None;
    }
    str::from_utf8(text).ok()
}

/// Parses an IPv4 address, or an IPv6 address in brackets, with an optional port, which is ignored.
fn with_port(text: &str, is_port: impl Fn(&str) -> bool) -> Option<IpAddr> {
    let (address, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (address, port) = text.split_once(']')?;
            (v6(address)?, port)
        }
        None => {
            let (address, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (IpAddr::V4(Ipv4Addr::from_str(address).ok()?), port)
        }
    };
    match port.strip_prefix(':') {
        Some(port) => is_port(port).then_some(address),
        None => port.is_empty().then_some(address),
    }
}

/// An IPv6 address and perhaps a zone, which means something on the proxy's host only
/// ([RFC 4007, section 11](https://www.rfc-editor.org/rfc/rfc4007#section-11)).
fn v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        Some((address, zone)) => is_zone(zone).then_some(address)?,
        None => text,
    };
    Ipv6Addr::from_str(address).ok().map(IpAddr::V6)
}

fn is_zone(text: &str) -> bool {
    let is_zone_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    !text.is_empty() && text.bytes().all(is_zone_byte)
}

fn is_port(text: &str) -> bool {
    // A number may have a sign or many zeros where it is parsed, and a port may not.
    text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn is_obfuscated(text: &str) -> bool {
    let is_obf_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_obf_byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parsed: Option<IpAddr>) -> String {
        parsed.map_or_else(|| "none".to_owned(), |address| address.to_string())
    }

    #[test]
    fn strips_ports_and_zones_from_addresses() {
        for (written, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("192.0.2.1:0", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:0DB8:0:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]:4711", "fe80::1"),
            ("[fe80::1%25eth0.100]", "fe80::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:c000:201", "192.0.2.1"),
            ("[::ffff:c000:201]:4711", "192.0.2.1"),
            // deprecated, and not an IPv4 address
            ("::192.0.2.1", "::c000:201"),
        ] {
            assert_eq!(text(parse(written.as_bytes())), address, "{written}");
        }
    }

    #[test]
    fn rejects_malformed_and_unspecified_addresses() {
        let long = format!("[2001:db8::1%{}]", "z".repeat(LONGEST));
        for written in [
            "",
            " ",
            "-",
            "unknown",
            "_hidden",
            "localhost",
            "0.0.0.0",
            "0.0.0.0:80",
            "::",
            "[::]:80",
            "::ffff:0.0.0.0",
            "::ffff:0:0",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.01",
            "0x7f.0.0.1",
            "3221225985",
            "192.0.2.1 ",
            "192.0.2.1:",
            "192.0.2.1:+80",
            "192.0.2.1:65536",
            "192.0.2.1:80:80",
            "192.0.2.1:_port",
            "192.0.2.1%eth0",
            "192.0.2.0/24",
            "[192.0.2.1]",
            "2001:db8::1%",
            "2001:db8::1%et h0",
            "2001:db8::g",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]4711",
            "[2001:db8::1]:",
            "[[2001:db8::1]]",
            "\"192.0.2.1\"",
            "1.1.1.1, 2.2.2.2",
            "１.1.1.1",
            &long,
        ] {
            assert_eq!(text(parse(written.as_bytes())), "none", "{written}");
        }
        assert_eq!(parse(b"192.0.2.\xff"), None);
    }

    #[test]
    fn forwarded_node_accepts_brackets_and_obfuscated_ports() {
        for (written, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("192.0.2.1:_port-1.a", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[::ffff:c000:201]", "192.0.2.1"),
            ("2001:db8::1", "none"),
            ("192.0.2.1:_", "none"),
            ("192.0.2.1:_a b", "none"),
            ("unknown", "none"),
            ("_gazonk", "none"),
            ("[::]", "none"),
        ] {
            assert_eq!(text(parse_node(written.as_bytes())), address, "{written}");
        }
    }
}
