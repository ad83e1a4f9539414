use http::HeaderValue;
use palisade_core::Origin;

/// The origins of one `allow_origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// This origin.
    Exact(HeaderValue),
    /// This scheme and host, on every port: `http://localhost:*`.
    AnyPort(Box<str>),
    /// All subdomains of a host at any depth: `https://*.example.com`.
    Subdomains { of: Box<str>, https: bool, port: Port },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Port {
    /// The default port too.
    Any,
    /// This port. `None` is the default of the scheme.
    Is(Option<u16>),
}

/// A pattern and its risks.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) pattern: Pattern,
    /// Plain http, and not to this very machine.
    pub(crate) is_forgeable: bool,
    /// The public suffix of the pattern, below which any person can register a host.
    pub(crate) public_suffix: Option<String>,
}

const ANY_PORT: &str = ":*";
const SUBDOMAINS: &str = "://*.";

impl Pattern {
    /// Parses a configured origin. The error is the remedy.
    pub(crate) fn read(text: &str) -> Result<Written, String> {
        if text == "*" {
            return Err("call any_origin() to allow every origin".to_owned());
        }
        let (without_port, any_port) =
            text.strip_suffix(ANY_PORT).map_or((text, false), |text| (text, true));
        if let Some((scheme, host)) = without_port.split_once(SUBDOMAINS) {
            return subdomains(text, &format!("{scheme}://{host}"), any_port);
        }
        if without_port.contains('*') {
            return Err(WHERE_STARS_STAND.to_owned());
        }
        let origin = Origin::parse(without_port).map_err(|error| error.to_string())?;
        if any_port && origin.port().is_some() {
            return Err("name one port, or `*` for every port".to_owned());
        }
        if any_port && !is_of_the_web(&origin) {
            return Err(EXACTLY.to_owned());
        }
        let pattern = if any_port {
            Pattern::AnyPort(without_port.into())
        } else {
            Pattern::Exact(HeaderValue::from_str(text).map_err(|error| error.to_string())?)
        };
        Ok(Written { pattern, is_forgeable: origin.is_forgeable(), public_suffix: None })
    }
}

const WHERE_STARS_STAND: &str = "a `*` stands for whole labels at the beginning of the host, as in \
    `https://*.example.com`, or for the port, as in `http://localhost:*`";

/// The remedy for patterns with other schemes, whose parts have a meaning for one browser or app only.
const EXACTLY: &str =
    "list an origin that is not http or https without a `*`, or ask allow_origin_if() about it";

/// Returns true for http and https, whose hosts have subdomains and ports.
pub(crate) fn is_of_the_web(origin: &Origin<'_>) -> bool {
    matches!(origin.scheme(), "http" | "https")
}

fn subdomains(text: &str, base: &str, any_port: bool) -> Result<Written, String> {
    if base.contains('*') {
        return Err(WHERE_STARS_STAND.to_owned());
    }
    if let Some(without_slash) = text.strip_suffix('/').filter(|rest| Pattern::read(rest).is_ok()) {
        return Err(format!("leave out the trailing slash: `{without_slash}`"));
    }
    let origin = Origin::parse(base).map_err(|error| error.to_string())?;
    if !is_of_the_web(&origin) {
        return Err(EXACTLY.to_owned());
    }
    let host = origin.host();
    let is_address =
        host.starts_with('[') || host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_address {
        return Err("an address has no subdomains; list it without `*.`".to_owned());
    }
    let port = match (any_port, origin.port()) {
        (true, Some(_)) => return Err("name one port, or `*` for every port".to_owned()),
        (true, None) => Port::Any,
        (false, port) => Port::Is(port),
    };
    Ok(Written {
        pattern: Pattern::Subdomains { of: host.into(), https: origin.is_https(), port },
        is_forgeable: origin.is_forgeable(),
        public_suffix: is_public_suffix(host).then(|| host.to_owned()),
    })
}

/// Returns whether anyone can register a name below `host`. The [Public Suffix List](https://publicsuffix.org/list/)
/// has these names, `com` and `co.uk` as well as `github.io`. Without the feature `public-suffix` this is its default
/// rule alone: a name of one label is a public suffix, except `localhost`, which is this machine.
fn is_public_suffix(host: &str) -> bool {
    #[cfg(feature = "public-suffix")]
    let is_suffix = psl::Psl::suffix(&psl::List, host.as_bytes())
        .is_some_and(|suffix| suffix.as_bytes() == host.as_bytes());
    #[cfg(not(feature = "public-suffix"))]
    let is_suffix = !host.contains('.');
    is_suffix && host != "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_each_kind_of_pattern() {
        let subdomains = |of: &str, https, port| Pattern::Subdomains { of: of.into(), https, port };
        for (text, expected) in [
            (
                "https://example.com:8443",
                Pattern::Exact(HeaderValue::from_static("https://example.com:8443")),
            ),
            (
                "chrome-extension://knldjmfmopnpolahpmmgbagdohdnhkik",
                Pattern::Exact(HeaderValue::from_static(
                    "chrome-extension://knldjmfmopnpolahpmmgbagdohdnhkik",
                )),
            ),
            ("http://localhost:*", Pattern::AnyPort("http://localhost".into())),
            ("https://app.example.com:*", Pattern::AnyPort("https://app.example.com".into())),
            ("http://[::1]:*", Pattern::AnyPort("http://[::1]".into())),
            ("https://*.example.com", subdomains("example.com", true, Port::Is(None))),
            ("http://*.example.com", subdomains("example.com", false, Port::Is(None))),
            ("https://*.example.com:8443", subdomains("example.com", true, Port::Is(Some(8443)))),
            ("https://*.example.com:*", subdomains("example.com", true, Port::Any)),
            ("http://*.localhost:3000", subdomains("localhost", false, Port::Is(Some(3000)))),
        ] {
            let written = Pattern::read(text).unwrap_or_else(|remedy| panic!("{text}: {remedy}"));
            assert_eq!(written.pattern, expected, "{text}");
            assert_eq!(written.public_suffix, None, "{text}");
        }
    }

    #[test]
    fn invalid_pattern_is_an_error_with_a_remedy() {
        for (text, remedy) in [
            ("*", "any_origin()"),
            ("https://*", "whole labels at the beginning"),
            ("https://*:*", "whole labels at the beginning"),
            ("*://example.com", "whole labels at the beginning"),
            ("*.example.com", "whole labels at the beginning"),
            ("https://app.*.example.com", "whole labels at the beginning"),
            ("https://app-*.example.com", "whole labels at the beginning"),
            ("https://*app.example.com", "whole labels at the beginning"),
            ("https://*.*.example.com", "whole labels at the beginning"),
            ("https://example.*", "whole labels at the beginning"),
            ("https://example.com:80*", "whole labels at the beginning"),
            ("https://**.example.com", "whole labels at the beginning"),
            ("https://*.example.com/", "trailing slash: `https://*.example.com`"),
            ("https://*.example.com/app", "leave out path"),
            ("https://*.Example.com", "lower case, `example.com`"),
            ("https://*.b\u{fc}cher.example", "Punycode"),
            ("https://*.example.com:443", "leave out the port"),
            ("https://*.", "name a host"),
            ("chrome-extension://*", "whole labels at the beginning"),
            ("capacitor://localhost:*", "without a `*`"),
            ("tauri://*.localhost", "without a `*`"),
            ("https://*.1.2.3.4", "no subdomains"),
            ("http://*.[::1]", "no subdomains"),
            ("https://example.com:8443:*", "one port"),
            ("https://*.example.com:8443:*", "one port"),
            ("file://*.example.com", "local web server"),
            ("HTTPS://*.example.com", "lower case, `https`"),
        ] {
            let found = Pattern::read(text).expect_err(text);
            assert!(found.contains(remedy), "{text}: {found} does not say {remedy}");
        }
    }

    #[test]
    fn public_suffixes_are_detected() {
        for (text, expected) in [
            ("https://*.com", true),
            ("https://*.co.uk", true),
            ("https://*.github.io", true),
            ("https://*.internal", true),
            ("https://*.example.com", false),
            ("https://*.app.internal", false),
            ("http://*.localhost", false),
        ] {
            let written = Pattern::read(text).unwrap();
            assert_eq!(written.public_suffix.is_some(), expected, "{text}");
        }
    }
}
