use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use http::HeaderValue;
use palisade_core::ConfigError;

/// An origin as browsers send it: the
/// [serialisation of an origin](https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin).
///
/// What differs from that by as much as a slash or a capital letter would never match, which is why it is an error
/// here and not a puzzle in the browser's console.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) value: HeaderValue,
    /// Plain http, and not to this very machine: whoever sits on the network can put a page there.
    pub(crate) is_forgeable: bool,
}

/// RFC 1035, section 2.3.4.
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

impl Origin {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |remedy: String| ConfigError::new("allow_origin", text, remedy);
        let (scheme, authority) = scheme_and_authority(text).map_err(wrong)?;
        let (host, port) = host_and_port(authority).map_err(wrong)?;
        host_is_serialised(host).map_err(wrong)?;
        if let Some(port) = port {
            port_is_serialised(scheme, port).map_err(wrong)?;
        }
        let value = HeaderValue::from_str(text)
            .map_err(|_| wrong("a header cannot carry it; write visible ASCII".to_owned()))?;
        let is_loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        Ok(Self { value, is_forgeable: scheme == Scheme::Http && !is_loopback })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// What is wrong is said as what to write instead.
type Checked<T> = Result<T, String>;

fn scheme_and_authority(text: &str) -> Checked<(Scheme, &str)> {
    if text == "*" {
        return remedy("call any_origin() to let every origin read");
    }
    if text.eq_ignore_ascii_case("null") {
        return remedy(
            "list the origins that pages come from; any page can be `null`, from a sandboxed frame",
        );
    }
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
        return remedy(
            "serve the page from a local web server and list that; browsers send `null` for files",
        );
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        return remedy("write it in full, as in `https://app.example.com`");
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ if ["http", "https"].contains(&&*scheme.to_ascii_lowercase()) => {
            return Err(format!(
                "write the scheme in lower case, `{}`",
                scheme.to_ascii_lowercase()
            ));
        }
        _ => return remedy("only http and https origins can be listed"),
    };
    // In the order in which a pasted URL goes wrong, from its end.
    if let Some(end) = authority.find(['/', '?', '#', '\\']) {
        return Err(match &authority[end..] {
            "/" => format!("leave out the trailing slash: `{scheme}://{}`", &authority[..end]),
            _ => {
                "leave out path, query and fragment; an origin is scheme, host and port".to_owned()
            }
        });
    }
    if authority.contains('@') {
        return remedy("leave out user name and password; an origin is scheme, host and port");
    }
    if authority.contains([',', ' ']) {
        return remedy("list each origin by itself, without white space");
    }
    if authority.contains('*') {
        return remedy("list each origin in full; there are no patterns in an origin");
    }
    Ok((scheme, authority))
}

fn host_and_port(authority: &str) -> Checked<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let Some(end) = authority.find(']') else {
            return remedy("close the bracket of the IPv6 address, as in `http://[::1]:8080`");
        };
        let (host, rest) = authority.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => remedy("after an IPv6 address comes nothing but a port"),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            remedy("put an IPv6 address in brackets, as in `http://[::1]:8080`")
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

/// [Host serialising](https://url.spec.whatwg.org/#host-serializing) changes nothing about this host.
fn host_is_serialised(host: &str) -> Checked<()> {
    if let Some(address) = host.strip_prefix('[') {
        return ipv6_is_serialised(address.trim_end_matches(']'));
    }
    if host.is_empty() {
        return remedy("name a host, as in `https://app.example.com`");
    }
    if !host.is_ascii() {
        return remedy("write the host in Punycode (`xn--...`), as browsers do");
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("write the host in lower case, `{}`", host.to_ascii_lowercase()));
    }
    if host.ends_with('.') {
        return remedy("leave out the dot at the end of the host");
    }
    let is_host_byte = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if !host.bytes().all(is_host_byte) {
        return remedy("a host has letters, digits, `-`, `_` and dots only");
    }
    if host.len() > MAX_HOST || host.split('.').any(|label| label.len() > MAX_LABEL) {
        return remedy("a host has 253 bytes at most, and 63 between two dots");
    }
    if host.split('.').any(str::is_empty) {
        return remedy("there is a dot too many in the host");
    }
    if ends_in_a_number(host) && host.parse::<Ipv4Addr>().is_err() {
        return remedy("write an IPv4 address as four decimal numbers, as in `127.0.0.1`");
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

fn ipv6_is_serialised(address: &str) -> Checked<()> {
    let Ok(parsed) = address.parse::<Ipv6Addr>() else {
        return remedy("write an IPv6 address as in `[2001:db8::1]`, without a zone");
    };
    let serialised = serialised_ipv6(parsed);
    if address != serialised {
        return Err(format!("write the IPv6 address as browsers do, `[{serialised}]`"));
    }
    Ok(())
}

/// [IPv6 serialising](https://url.spec.whatwg.org/#concept-ipv6-serializer) is that of RFC 5952, save that it never
/// writes an IPv4 address inside an IPv6 one.
fn serialised_ipv6(address: Ipv6Addr) -> String {
    match (address.to_ipv4_mapped(), address.segments()) {
        (Some(_), [.., high, low]) => format!("::ffff:{high:x}:{low:x}"),
        (None, _) => address.to_string(),
    }
}

fn port_is_serialised(scheme: Scheme, port: &str) -> Checked<()> {
    let is_decimal = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    match port.parse::<u16>() {
        Ok(number) if number == scheme.default_port() => Err(format!(
            "leave out the port; browsers do not write `:{number}` where it is the default of {scheme}"
        )),
        Ok(1..) if is_decimal => Ok(()),
        _ => remedy("a port is a number from 1 to 65535, without leading zeros"),
    }
}

fn remedy<T>(text: &str) -> Checked<T> {
    Err(text.to_owned())
}

#[cfg(test)]
mod tests;
