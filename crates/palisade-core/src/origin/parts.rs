//! The parts of an origin, read closely: each must be as browsers write it.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{fault::OriginFault, scheme::Scheme};

/// RFC 1035, section 2.3.4.
pub(super) const MAX_HOST: usize = 253;
pub(super) const MAX_LABEL: usize = 63;

/// Schemes of URLs that are not those of pages, or whose pages are `null` in every browser.
const WITHOUT_PAGES: [&str; 9] =
    ["about", "blob", "data", "filesystem", "ftp", "javascript", "view-source", "ws", "wss"];

pub(super) fn scheme_and_authority(text: &str) -> Result<(Scheme<'_>, &str), OriginFault<'_>> {
    if text.eq_ignore_ascii_case("null") {
        return Err(OriginFault::Null);
    }
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
        return Err(OriginFault::File);
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        return Err(OriginFault::NotInFull);
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => {
            scheme_is_serialised(other)?;
            Scheme::Other(other)
        }
    };
    // In the order in which a pasted URL goes wrong, from its end.
    if let Some(end) = authority.find(['/', '?', '#', '\\']) {
        return Err(if &authority[end..] == "/" {
            OriginFault::TrailingSlash
        } else {
            OriginFault::Path
        });
    }
    if authority.contains('@') {
        return Err(OriginFault::UserInfo);
    }
    if authority.contains([',', ' ']) {
        return Err(OriginFault::List);
    }
    if authority.contains('*') {
        return Err(OriginFault::Pattern);
    }
    Ok((scheme, authority))
}

/// A scheme other than http and https (RFC 3986, section 3.1), in lower case.
fn scheme_is_serialised(scheme: &str) -> Result<(), OriginFault<'_>> {
    let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        || !scheme.bytes().all(is_scheme_byte)
    {
        return Err(OriginFault::SchemeName);
    }
    if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(OriginFault::SchemeCase);
    }
    if WITHOUT_PAGES.contains(&scheme) {
        return Err(OriginFault::SchemeWithoutPages(scheme));
    }
    Ok(())
}

/// Checks the host of an unknown scheme, which is [opaque](https://url.spec.whatwg.org/#opaque-host): browsers do not change
/// its case, as in the ids of Safari's extensions.
pub(super) fn other_host_is_serialised(host: &str) -> Result<(), OriginFault<'static>> {
    if host.is_empty() {
        return Err(OriginFault::NoHost);
    }
    if host.len() > MAX_HOST {
        return Err(OriginFault::TooLong);
    }
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if host.bytes().all(is_host_byte) { Ok(()) } else { Err(OriginFault::OtherHost) }
}

pub(super) fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), OriginFault<'_>> {
    if authority.starts_with('[') {
        let Some(end) = authority.find(']') else {
            return Err(OriginFault::OpenBracket);
        };
        let (host, rest) = authority.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(OriginFault::AfterBracket),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(OriginFault::NoBrackets),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

/// Checks that [host serialising](https://url.spec.whatwg.org/#host-serializing) does not change this host.
pub(super) fn host_is_serialised(host: &str) -> Result<(), OriginFault<'_>> {
    if let Some(address) = host.strip_prefix('[') {
        return ipv6_is_serialised(address.trim_end_matches(']'));
    }
    if host.is_empty() {
        return Err(OriginFault::NoHost);
    }
    if !host.is_ascii() {
        return Err(OriginFault::NotAscii);
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(OriginFault::HostCase);
    }
    if host.ends_with('.') {
        return Err(OriginFault::TrailingDot);
    }
    let is_host_byte = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if !host.bytes().all(is_host_byte) {
        return Err(OriginFault::HostBytes);
    }
    if host.len() > MAX_HOST || host.split('.').any(|label| label.len() > MAX_LABEL) {
        return Err(OriginFault::TooLong);
    }
    if host.split('.').any(str::is_empty) {
        return Err(OriginFault::EmptyLabel);
    }
    if ends_in_a_number(host) && host.parse::<Ipv4Addr>().is_err() {
        return Err(OriginFault::Ipv4);
    }
    Ok(())
}

/// Browsers take such a host for an IPv4 address, and rewrite it or refuse it
/// ([URL, ends-in-a-number checker](https://url.spec.whatwg.org/#ends-in-a-number-checker)).
fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn ipv6_is_serialised(address: &str) -> Result<(), OriginFault<'_>> {
    let parsed = address.parse().map_err(|_| OriginFault::Ipv6)?;
    let mut rest = Rest(address);
    match write_ipv6(parsed, &mut rest) {
        Ok(()) if rest.0.is_empty() => Ok(()),
        _ => Err(OriginFault::Ipv6Form),
    }
}

/// [IPv6 serialising](https://url.spec.whatwg.org/#concept-ipv6-serializer) is that of RFC 5952, save that it never
/// writes an IPv4 address inside an IPv6 one.
pub(super) fn write_ipv6(address: Ipv6Addr, out: &mut dyn fmt::Write) -> fmt::Result {
    match (address.to_ipv4_mapped(), address.segments()) {
        (Some(_), [.., high, low]) => write!(out, "::ffff:{high:x}:{low:x}"),
        (None, _) => write!(out, "{address}"),
    }
}

/// The rest of a text that is compared while it is written.
struct Rest<'a>(&'a str);

impl fmt::Write for Rest<'_> {
    fn write_str(&mut self, written: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(written).ok_or(fmt::Error)?;
        Ok(())
    }
}

pub(super) fn serialised_port<'a>(scheme: Scheme<'a>, port: &str) -> Result<u16, OriginFault<'a>> {
    let is_decimal = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    match port.parse() {
        Ok(number) if Some(number) == scheme.default_port() => {
            Err(OriginFault::DefaultPort(scheme))
        }
        Ok(number @ 1..) if is_decimal => Ok(number),
        _ => Err(OriginFault::Port),
    }
}
