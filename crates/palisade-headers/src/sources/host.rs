//! Sources that name a scheme or hosts
//! ([CSP 3, section 2.3.1](https://www.w3.org/TR/CSP3/#framework-directive-source-list)). A source that is not of this grammar
//! is one that browsers ignore.

/// The remedy for a text that is not a host source.
type Remedy = &'static str;

const IN_FULL: Remedy = "write a scheme (`https:`), a host (`cdn.example.com`, `*.example.com`) or both \
                         (`https://cdn.example.com`), with a port or a path if needed";

/// Checks `scheme-source` and `host-source`.
pub(crate) fn check(source: &str) -> Result<(), Remedy> {
    if source.starts_with('/') {
        return Err("write a host in front of it, as in `https://cdn.example.com/js/`");
    }
    if source.contains(['?', '#']) {
        return Err("leave out query and fragment; browsers compare scheme, host, port and path");
    }
    let (scheme, rest) = match source.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, source),
    };
    if let Some(scheme) = scheme {
        check_scheme(scheme)?;
    } else if let Some(scheme) = source.strip_suffix(':') {
        return check_scheme(scheme);
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    check_path(path)?;
    let (host, port) = match authority.rsplit_once(':') {
        // `https:/x`, `https:x` without the slashes
        Some((_, "")) => return Err(IN_FULL),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    port.map_or(Ok(()), check_port)?;
    check_host(host)
}

/// Checks a source that consists of scheme, host and port only, as it stands in lists of origins. A host may begin with
/// `*.`.
pub(crate) fn check_origin(origin: &str) -> Result<(), Remedy> {
    const IN_FULL: Remedy = "write an origin in full, as in `https://app.example.com`";
    let Some((scheme, rest)) = origin.split_once("://") else { return Err(IN_FULL) };
    if rest.is_empty() || rest == "*" || rest.starts_with("*:") {
        return Err(IN_FULL);
    }
    if rest.contains('/') {
        return Err("write scheme, host and port only, without a slash at the end");
    }
    let pages = ["about", "blob", "data", "file", "filesystem", "ftp", "javascript", "ws", "wss"];
    if pages.iter().any(|other| scheme.eq_ignore_ascii_case(other)) {
        return Err("write the origin of the page; no page has an origin of this scheme");
    }
    check(origin)
}

fn check_scheme(scheme: &str) -> Result<(), Remedy> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme =
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(fits);
    if is_scheme { Ok(()) } else { Err(IN_FULL) }
}

fn check_host(host: &str) -> Result<(), Remedy> {
    if host.starts_with('[') || host.contains(':') {
        return Err("name the host; CSP has no IPv6 addresses, and browsers ignore them");
    }
    if host == "*" {
        return Ok(());
    }
    let labels = host.strip_prefix("*.").unwrap_or(host);
    if labels.contains('*') {
        return Err(
            "a `*` stands for labels at the beginning of a host, as in `*.example.com`, and only once",
        );
    }
    if labels.ends_with('.') && labels.len() > 1 {
        return Err("leave out the dot at the end of the host");
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(fits);
    if labels.split('.').all(is_label) { Ok(()) } else { Err(IN_FULL) }
}

fn check_port(port: &str) -> Result<(), Remedy> {
    let is_number = !port.starts_with('0')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok();
    if port == "*" || is_number {
        Ok(())
    } else {
        Err("a port is a number from 1 to 65535, or `*`")
    }
}

/// RFC 3986, section 3.3, `path-absolute`.
fn check_path(path: &str) -> Result<(), Remedy> {
    if path.starts_with("//") {
        return Err("write a path with one slash at its beginning");
    }
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'%', [a, b, after @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
            (b'%', _) => return Err("write a `%` of the path as `%25`"),
            (byte, after) if is_path_byte(*byte) => after,
            _ => {
                return Err(
                    "percent-encode what is not a letter, a digit or one of `-._~!$&()*+=:@/`",
                );
            }
        };
    }
    Ok(())
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&()*+=:@/".contains(&byte)
}

/// Sources that Chromium ignores, as `tests/csp_browser.rs` shows. One on each line.
#[cfg(test)]
pub(crate) const IGNORED: &str = include_str!("ignored.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_sources_of_the_csp_grammar() {
        for source in [
            "*",
            "*:8080",
            "*:*",
            "https:",
            "data:",
            "wss:",
            "chrome-extension:",
            "com.example+app:",
            "example.com",
            "localhost:3000",
            "127.0.0.1:3000",
            "*.example.com:443",
            "*.example.com:*",
            "https://cdn.example.com",
            "HTTPS://CDN.example.com",
            "https://*",
            "https://*:*",
            "https://*.example.com:8443/a/b.js",
            "cdn.example.com/js/",
            "https://a.example/",
            "https://a.example/a%20b/@scope/c:d",
            "chrome-extension://knldjmfmopnpolahpmmgbagdohdnhkik",
        ] {
            assert_eq!(check(source), Ok(()), "{source}");
        }
    }

    #[test]
    fn rejects_sources_that_browsers_ignore() {
        for source in IGNORED.lines() {
            assert!(check(source).is_err(), "{source}");
        }
    }

    #[test]
    fn origin_is_a_scheme_and_a_host_only() {
        for origin in [
            "https://app.example.com",
            "http://localhost:3000",
            "https://*.example.com",
            "https://*.example.com:*",
            "chrome-extension://knldjmfmopnpolahpmmgbagdohdnhkik",
            "capacitor://localhost",
        ] {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
        for other in [
            "",
            "*",
            "app.example.com",
            "https:",
            "https://",
            "https://*",
            "https://*:443",
            "https://a.example/",
            "https://a.example//",
            "https://a.example/path",
            "ftp://a.example",
            "wss://a.example",
            "https://a\"b",
            "https://a..example",
            "https://a.example:0",
            "https://a.example:99999",
            "https://a.example:",
            "https://a.*.example",
            "https://[::1]",
            "//a.example",
        ] {
            assert!(check_origin(other).is_err(), "{other}");
        }
    }
}
