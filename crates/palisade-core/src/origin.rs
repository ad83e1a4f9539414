mod error;
mod fault;
mod parts;
mod scheme;

use std::{fmt, net::Ipv4Addr};

use http::HeaderValue;

pub use error::OriginError;
use fault::OriginFault;
use parts::{
    MAX_HOST, MAX_LABEL, host_and_port, host_is_serialised, other_host_is_serialised,
    scheme_and_authority, serialised_port,
};
use scheme::Scheme;

/// The origin of a page, as browsers send it: scheme, host, and a port if it is not the scheme's default
/// ([HTML, serialisation of an origin](https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin)).
///
/// Most origins are http or https. Pages of browser extensions and apps have other schemes, such as `chrome-extension://…`,
/// `capacitor://localhost` or `tauri://localhost`.
///
/// Browsers send an origin in exactly one form, and origins are compared as bytes. A text with a trailing slash or a capital
/// letter can never equal an origin, so it is not accepted: in a configuration it is an error with a remedy, and in a request
/// it is not an origin. Parsing does not allocate.
///
/// ```
/// use palisade_core::Origin;
///
/// let origin = Origin::parse("https://app.example.com:8443").unwrap();
/// assert_eq!((origin.host(), origin.port()), ("app.example.com", Some(8443)));
///
/// for (wrong, remedy) in [
///     ("https://app.example.com/", "leave out the trailing slash: `https://app.example.com`"),
///     ("https://App.example.com", "write the host in lower case, `app.example.com`"),
///     ("null", "list the origins that pages come from; any page can be `null`, from a sandboxed frame"),
/// ] {
///     assert_eq!(Origin::parse(wrong).unwrap_err().to_string(), remedy);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin<'a> {
    text: &'a str,
    scheme: Scheme<'a>,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// The maximum length of an origin: `https://`, a host, a port.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// let long = format!("https://{}example.com", "a.".repeat(200));
    /// assert!(long.len() > Origin::MAX_BYTES && Origin::parse(&long).is_err());
    /// ```
    pub const MAX_BYTES: usize = "https://".len() + MAX_HOST + ":65535".len();

    /// Parses a configured origin.
    ///
    /// # Errors
    ///
    /// If the text is not an origin. The error says what to write instead.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// assert!(Origin::parse("http://localhost:3000").is_ok());
    /// assert!(Origin::parse("http://localhost:80").is_err(), "browsers do not write a default port");
    /// ```
    pub fn parse(text: &'a str) -> Result<Self, OriginError<'a>> {
        Self::read(text).map_err(|wrong| OriginError::new(text, wrong))
    }

    /// Parses the value of an `Origin` field. Returns `None` for `null`, lists and malformed values.
    ///
    /// ```
    /// use http::HeaderValue;
    /// use palisade_core::Origin;
    ///
    /// let is_one = |value| Origin::from_header(&HeaderValue::from_static(value)).is_some();
    /// assert!(is_one("https://app.example.com"));
    /// assert!(!is_one("null"));
    /// assert!(!is_one("https://a.example, https://b.example"));
    /// ```
    pub fn from_header(value: &'a HeaderValue) -> Option<Self> {
        if value.len() > Self::MAX_BYTES {
            return None;
        }
        Self::read(value.to_str().ok()?).ok()
    }

    /// Returns the origin as text.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// let text = "https://app.example.com:8443";
    /// assert_eq!(Origin::parse(text).unwrap().as_str(), text);
    /// ```
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Returns the scheme, in lower case.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// assert_eq!(Origin::parse("https://app.example.com").unwrap().scheme(), "https");
    /// assert_eq!(Origin::parse("tauri://localhost").unwrap().scheme(), "tauri");
    /// ```
    pub fn scheme(&self) -> &'a str {
        self.scheme.as_str()
    }

    /// Returns true if the scheme is https.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// assert!(Origin::parse("https://app.example.com").unwrap().is_https());
    /// assert!(!Origin::parse("http://localhost").unwrap().is_https());
    /// assert!(!Origin::parse("capacitor://localhost").unwrap().is_https());
    /// ```
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Returns the host: a name, an IPv4 address, or an IPv6 address in brackets. For schemes other than http and https it is
    /// the part after the scheme, such as the id of an extension.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// assert_eq!(Origin::parse("https://[2001:db8::1]:8443").unwrap().host(), "[2001:db8::1]");
    /// ```
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port, if it is not the scheme's default.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// assert_eq!(Origin::parse("http://localhost:3000").unwrap().port(), Some(3000));
    /// assert_eq!(Origin::parse("http://localhost").unwrap().port(), None);
    /// ```
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Scheme and host, without the port.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// let origin = Origin::parse("http://localhost:3000").unwrap();
    /// assert_eq!(origin.without_port(), "http://localhost");
    /// ```
    pub fn without_port(&self) -> &'a str {
        &self.text[..self.scheme.as_str().len() + 3 + self.host.len()]
    }

    /// Returns true for http and https if the host is always this machine ([Secure Contexts, section
    /// 3.1](https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy)).
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// let is_loopback = |text| Origin::parse(text).unwrap().is_loopback();
    /// assert!(is_loopback("http://localhost:3000") && is_loopback("http://[::1]"));
    /// assert!(!is_loopback("http://localhost.example.com"));
    /// ```
    pub fn is_loopback(&self) -> bool {
        if matches!(self.scheme, Scheme::Other(_)) {
            return false;
        }
        match self.host.parse::<Ipv4Addr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => {
                self.host == "[::1]"
                    || self.host == "localhost"
                    || self.host.ends_with(".localhost")
            }
        }
    }

    /// Returns true for plain http of another machine, which an attacker on the network can forge.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// let is_forgeable = |text| Origin::parse(text).unwrap().is_forgeable();
    /// assert!(is_forgeable("http://app.example.com"));
    /// assert!(!is_forgeable("https://app.example.com") && !is_forgeable("http://localhost:3000"));
    /// ```
    pub fn is_forgeable(&self) -> bool {
        self.scheme == Scheme::Http && !self.is_loopback()
    }

    /// Returns true if the page and a request have the same host and port. `host` is the target of the request, as in `Host`.
    ///
    /// http and https are treated alike, because a server behind a proxy does not know the client's scheme. Returns false for
    /// all other schemes, which pages of servers do not have.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// let origin = Origin::parse("https://example.com").unwrap();
    /// assert!(origin.is_of_host("example.com") && origin.is_of_host("example.com:443"));
    /// assert!(!origin.is_of_host("example.com:8443") && !origin.is_of_host("api.example.com"));
    /// ```
    pub fn is_of_host(&self, host: &str) -> bool {
        if matches!(self.scheme, Scheme::Other(_)) {
            return false;
        }
        let authority = &self.text[self.scheme.as_str().len() + 3..];
        // Some clients write the default port into the host; none writes it into the origin.
        let host = host.strip_suffix(self.scheme.default_port_suffix()).unwrap_or(host);
        authority.eq_ignore_ascii_case(host)
    }

    fn read(text: &'a str) -> Result<Self, OriginFault<'a>> {
        Self::with_a_name(text).map_or_else(|| Self::read_closely(text), Ok)
    }

    /// Parses the usual form in one pass: a scheme, a name and an optional port. Returns `None` for all other texts, which the
    /// full parser checks.
    fn with_a_name(text: &'a str) -> Option<Self> {
        let (scheme, authority) = match text.strip_prefix("https://") {
            Some(authority) => (Scheme::Https, authority),
            None => (Scheme::Http, text.strip_prefix("http://")?),
        };
        let bytes = authority.as_bytes();
        let (mut end, mut label_start, mut is_number) = (bytes.len(), 0, true);
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'a'..=b'z' | b'-' | b'_' => is_number = false,
                b'0'..=b'9' => {}
                b'.' if at == label_start || at - label_start > MAX_LABEL => return None,
                b'.' => (label_start, is_number) = (at + 1, true),
                b':' => {
                    end = at;
                    break;
                }
                _ => return None,
            }
        }
        let last = bytes.get(label_start..end)?;
        let is_name = !is_number && last.len() <= MAX_LABEL && !last.starts_with(b"0x");
        if !is_name || end > MAX_HOST {
            return None;
        }
        let port = match authority.get(end + 1..) {
            Some(port) => Some(serialised_port(scheme, port).ok()?),
            None => None,
        };
        Some(Self { text, scheme, host: &authority[..end], port })
    }

    fn read_closely(text: &'a str) -> Result<Self, OriginFault<'a>> {
        let (scheme, authority) = scheme_and_authority(text)?;
        let (host, port) = host_and_port(authority)?;
        match scheme {
            Scheme::Http | Scheme::Https => host_is_serialised(host)?,
            Scheme::Other(_) => other_host_is_serialised(host)?,
        }
        let port = port.map(|port| serialised_port(scheme, port)).transpose()?;
        Ok(Self { text, scheme, host, port })
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests;
