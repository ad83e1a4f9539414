use std::net::{Ipv4Addr, Ipv6Addr};

use http::{Uri, uri::Authority};

/// What is wrong is said as what to write instead.
type Checked = Result<(), &'static str>;

/// Checks that `text` is an origin as browsers write it, which is the only form that can ever equal one, and that no
/// page on the network between can claim to be of it.
pub(crate) fn is_serialised(text: &str) -> Checked {
    if text == "*" || text.eq_ignore_ascii_case("null") {
        return Err("list each origin by name; any page can be `null`, from a sandboxed frame");
    }
    let uri: Uri = text.parse().map_err(|_| IN_FULL)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(IN_FULL);
    };
    // The parser knows neither fragments nor capitals, so the comparison is with the text itself.
    let Some(rest) = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")) else {
        return Err("write the scheme in lower case");
    };
    if rest != authority.as_str() {
        return Err("leave out path, query, fragment and the slash at the end");
    }
    if authority.as_str().contains('@') {
        return Err("leave out user name and password; an origin is scheme, host and port");
    }
    host_is_serialised(authority.host())?;
    port_is_serialised(scheme, authority)?;
    let is_loopback = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
    match scheme {
        "https" => Ok(()),
        "http" if is_loopback => Ok(()),
        "http" => Err("list https origins only; on plain http anybody on the way can be that page"),
        _ => Err("only http and https pages can be listed"),
    }
}

const IN_FULL: &str = "write it in full, as in `https://app.example.com`";

fn host_is_serialised(host: &str) -> Checked {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return match address.parse::<Ipv6Addr>() {
            Ok(parsed) if parsed.to_string() == address => Ok(()),
            _ => Err("write an IPv6 address in its shortest form, without a zone"),
        };
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("write the host in lower case");
    }
    let is_host_byte = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if !host.bytes().all(is_host_byte) || host.split('.').any(str::is_empty) {
        return Err("name a host, in letters, digits, `-`, `_` and dots, in Punycode if need be");
    }
    let ends_in_a_number =
        host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if ends_in_a_number && host.parse::<Ipv4Addr>().is_err() {
        return Err("write an IPv4 address as four decimal numbers");
    }
    Ok(())
}

fn port_is_serialised(scheme: &str, authority: &Authority) -> Checked {
    let host = authority.host();
    let Some(port) = authority.as_str().strip_prefix(host).filter(|port| !port.is_empty()) else {
        return Ok(());
    };
    let number = port.strip_prefix(':').filter(|port| !port.starts_with(['0', '+']));
    match number.and_then(|port| port.parse::<u16>().ok()) {
        Some(443) if scheme == "https" => Err("leave out the port; browsers do not write `:443`"),
        Some(80) if scheme == "http" => Err("leave out the port; browsers do not write `:80`"),
        Some(_) => Ok(()),
        None => Err("a port is a number from 1 to 65535, without leading zeros"),
    }
}

/// The page and the request have the same host and port. `host` is what the request was sent to.
///
/// The scheme is not compared, for a server behind a proxy does not know its own.
pub(crate) fn is_of_host(origin: &str, host: &str) -> bool {
    let (authority, default_port) = match origin.split_once("://") {
        Some(("https", authority)) => (authority, ":443"),
        Some(("http", authority)) => (authority, ":80"),
        _ => return false,
    };
    // Some clients write the default port into the host; none writes it into the origin.
    let host = host.strip_suffix(default_port).unwrap_or(host);
    !host.is_empty() && authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_would_write_is_an_origin() {
        for good in [
            "https://example.com",
            "https://app.example.com:8443",
            "https://xn--caf-dma.example",
            "https://[2001:db8::1]",
            "https://192.0.2.1",
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]:8080",
        ] {
            assert_eq!(is_serialised(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "NULL",
            "example.com",
            "//example.com",
            "/x",
            "https://",
            "https:///",
            "https://example.com/",
            "https://example.com/a",
            "https://example.com?a",
            "https://example.com#a",
            "HTTPS://example.com",
            "https://Example.com",
            "https://example.com:443",
            "http://localhost:80",
            "https://example.com:0",
            "https://example.com:65536",
            "https://example.com:08443",
            "https://example.com:",
            "https://user@example.com",
            "https://a:b@example.com",
            "https://*.example.com",
            "https://a..b",
            "https://.example.com",
            "https://example.com.",
            "https://caf\u{e9}.example",
            "https://1.2.3",
            "https://[2001:db8:0::1]",
            "https://[::1%25eth0]",
            "https://[::1",
            "file:///x",
            "ws://example.com",
            "http://example.com",
            "http://localhost.example.com",
            "https://a https://b",
            "https://a,https://b",
        ] {
            assert!(is_serialised(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_is_of_the_host_that_it_has_with_its_port() {
        #[rustfmt::skip]
        let table = [
            ("https://example.com", "example.com", true),
            ("https://example.com", "EXAMPLE.com", true),
            ("https://example.com", "example.com:443", true),
            ("http://example.com", "example.com:80", true),
            ("http://localhost:3000", "localhost:3000", true),
            ("http://[::1]:3000", "[::1]:3000", true),
            ("https://example.com", "example.com:80", false),
            ("https://example.com:8443", "example.com", false),
            ("https://example.com", "example.com:8443", false),
            ("https://evilexample.com", "example.com", false),
            ("https://example.com.evil.example", "example.com", false),
            ("https://example.com/", "example.com", false),
            ("https://x@example.com", "example.com", false),
            ("ws://example.com", "example.com", false),
            ("null", "null", false),
            ("https://", "", false),
            ("https://", ":443", false),
            ("", "", false),
        ];
        for (origin, host, expected) in table {
            assert_eq!(is_of_host(origin, host), expected, "{origin} {host}");
        }
    }
}
