use std::{
    error, fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use http::HeaderValue;

/// Where a page comes from, as browsers send it: scheme, host, and a port if it is not the scheme's default
/// ([HTML, serialisation of an origin](https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin)).
///
/// There is one way to write an origin, and origins are compared byte for byte. What differs from that way by as much
/// as a slash or a capital letter can never be equal to one, so it does not parse: in a configuration it is an error
/// with a remedy and not a puzzle in the browser's console, and in a request it is nobody's origin. Parsing allocates
/// nothing.
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
    scheme: Scheme,
    host: &'a str,
    port: Option<u16>,
}

/// RFC 1035, section 2.3.4.
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

impl<'a> Origin<'a> {
    /// Nothing longer is an origin: `https://`, a host, a port.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// let long = format!("https://{}example.com", "a.".repeat(200));
    /// assert!(long.len() > Origin::MAX_BYTES && Origin::parse(&long).is_err());
    /// ```
    pub const MAX_BYTES: usize = "https://".len() + MAX_HOST + ":65535".len();

    /// Reads an origin that somebody wrote.
    ///
    /// # Errors
    ///
    /// Says what to write instead.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// assert!(Origin::parse("http://localhost:3000").is_ok());
    /// assert!(Origin::parse("http://localhost:80").is_err(), "browsers do not write a default port");
    /// ```
    pub fn parse(text: &'a str) -> Result<Self, OriginError<'a>> {
        Self::read(text).map_err(|wrong| OriginError { text, wrong })
    }

    /// Reads the value of an `Origin` field. `null`, lists and everything else that is not one origin are none.
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

    /// As it is written.
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

    /// True for https, false for http. There are no others.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// assert!(Origin::parse("https://app.example.com").unwrap().is_https());
    /// assert!(!Origin::parse("http://localhost").unwrap().is_https());
    /// ```
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// A name, an IPv4 address, or an IPv6 address in brackets.
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

    /// The host is this machine, whatever a network says
    /// ([Secure Contexts, section 3.1](https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy)).
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// let is_loopback = |text| Origin::parse(text).unwrap().is_loopback();
    /// assert!(is_loopback("http://localhost:3000") && is_loopback("http://[::1]"));
    /// assert!(!is_loopback("http://localhost.example.com"));
    /// ```
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<Ipv4Addr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => {
                self.host == "[::1]"
                    || self.host == "localhost"
                    || self.host.ends_with(".localhost")
            }
        }
    }

    /// Plain http, and not this machine: whoever sits on the network between can put a page there.
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

    /// The page and a request have the same host and port. `host` is what the request was sent to, as in `Host`.
    ///
    /// The scheme is not compared, for a server behind a proxy does not know its own.
    ///
    /// ```
    /// use palisade_core::Origin;
    ///
    /// let origin = Origin::parse("https://example.com").unwrap();
    /// assert!(origin.is_of_host("example.com") && origin.is_of_host("example.com:443"));
    /// assert!(!origin.is_of_host("example.com:8443") && !origin.is_of_host("api.example.com"));
    /// ```
    pub fn is_of_host(&self, host: &str) -> bool {
        let authority = &self.text[self.scheme.as_str().len() + 3..];
        // Some clients write the default port into the host; none writes it into the origin.
        let host = host.strip_suffix(self.scheme.default_port_suffix()).unwrap_or(host);
        authority.eq_ignore_ascii_case(host)
    }

    fn read(text: &'a str) -> Result<Self, Wrong> {
        Self::with_a_name(text).map_or_else(|| Self::read_closely(text), Ok)
    }

    /// What nearly every origin is: a scheme, a name and perhaps a port, taken in one pass. None where there is more to
    /// say, be it good or bad.
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

    fn read_closely(text: &'a str) -> Result<Self, Wrong> {
        let (scheme, authority) = scheme_and_authority(text)?;
        let (host, port) = host_and_port(authority)?;
        host_is_serialised(host)?;
        let port = port.map(|port| serialised_port(scheme, port)).transpose()?;
        Ok(Self { text, scheme, host, port })
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn default_port_suffix(self) -> &'static str {
        match self {
            Self::Http => ":80",
            Self::Https => ":443",
        }
    }
}

/// Why a text is not an origin. It displays as what to write instead.
///
/// ```
/// use palisade_core::Origin;
///
/// let error = Origin::parse("https://example.com:443").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "leave out the port; browsers do not write `:443` where it is the default of https"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginError<'a> {
    text: &'a str,
    wrong: Wrong,
}

/// In the order in which a text is read. It allocates nothing: most of these a client may have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Null,
    File,
    NotInFull,
    SchemeCase(Scheme),
    OtherScheme,
    TrailingSlash,
    Path,
    UserInfo,
    List,
    Pattern,
    OpenBracket,
    AfterBracket,
    NoBrackets,
    NoHost,
    NotAscii,
    HostCase,
    TrailingDot,
    HostBytes,
    TooLong,
    EmptyLabel,
    Ipv4,
    Ipv6,
    Ipv6Form,
    DefaultPort(Scheme),
    Port,
}

impl fmt::Display for OriginError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.text.split_once("://").map_or("", |(_, authority)| authority);
        let host = host_and_port(authority).map_or(authority, |(host, _)| host);
        f.write_str(match self.wrong {
            Wrong::Null => {
                "list the origins that pages come from; any page can be `null`, from a sandboxed frame"
            }
            Wrong::File => {
                "serve the page from a local web server and list that; browsers send `null` for files"
            }
            Wrong::NotInFull => "write it in full, as in `https://app.example.com`",
            Wrong::SchemeCase(scheme) => {
                return write!(f, "write the scheme in lower case, `{}`", scheme.as_str());
            }
            Wrong::OtherScheme => "only http and https origins can be listed",
            Wrong::TrailingSlash => {
                let origin = self.text.trim_end_matches('/');
                return write!(f, "leave out the trailing slash: `{origin}`");
            }
            Wrong::Path => {
                "leave out path, query and fragment; an origin is scheme, host and port"
            }
            Wrong::UserInfo => {
                "leave out user name and password; an origin is scheme, host and port"
            }
            Wrong::List => "list each origin by itself, without white space",
            Wrong::Pattern => "list each origin in full; there are no patterns in an origin",
            Wrong::OpenBracket => {
                "close the bracket of the IPv6 address, as in `http://[::1]:8080`"
            }
            Wrong::AfterBracket => "after an IPv6 address comes nothing but a port",
            Wrong::NoBrackets => "put an IPv6 address in brackets, as in `http://[::1]:8080`",
            Wrong::NoHost => "name a host, as in `https://app.example.com`",
            Wrong::NotAscii => {
                "write the host in Punycode (`xn--...`), as browsers do; \
                 `new URL(\"https://...\").host` in a browser's console says it"
            }
            Wrong::HostCase => {
                let host = host.to_ascii_lowercase();
                return write!(f, "write the host in lower case, `{host}`");
            }
            Wrong::TrailingDot => "leave out the dot at the end of the host",
            Wrong::HostBytes => "a host has letters, digits, `-`, `_` and dots only",
            Wrong::TooLong => "a host has 253 bytes at most, and 63 between two dots",
            Wrong::EmptyLabel => "there is a dot too many in the host",
            Wrong::Ipv4 => "write an IPv4 address as four decimal numbers, as in `127.0.0.1`",
            Wrong::Ipv6 => "write an IPv6 address as in `[2001:db8::1]`, without a zone",
            Wrong::Ipv6Form => {
                let address = host.trim_start_matches('[').trim_end_matches(']').parse();
                f.write_str("write the IPv6 address as browsers do, `[")?;
                address.map_or(Ok(()), |address| write_ipv6(address, f))?;
                return f.write_str("]`");
            }
            Wrong::DefaultPort(scheme) => {
                let (port, scheme) = (scheme.default_port(), scheme.as_str());
                return write!(
                    f,
                    "leave out the port; browsers do not write `:{port}` where it is the default of {scheme}"
                );
            }
            Wrong::Port => "a port is a number from 1 to 65535, without leading zeros",
        })
    }
}

impl error::Error for OriginError<'_> {}

fn scheme_and_authority(text: &str) -> Result<(Scheme, &str), Wrong> {
    if text.eq_ignore_ascii_case("null") {
        return Err(Wrong::Null);
    }
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
        return Err(Wrong::File);
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        return Err(Wrong::NotInFull);
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ if scheme.eq_ignore_ascii_case("http") => return Err(Wrong::SchemeCase(Scheme::Http)),
        _ if scheme.eq_ignore_ascii_case("https") => return Err(Wrong::SchemeCase(Scheme::Https)),
        _ => return Err(Wrong::OtherScheme),
    };
    // In the order in which a pasted URL goes wrong, from its end.
    if let Some(end) = authority.find(['/', '?', '#', '\\']) {
        return Err(if &authority[end..] == "/" { Wrong::TrailingSlash } else { Wrong::Path });
    }
    if authority.contains('@') {
        return Err(Wrong::UserInfo);
    }
    if authority.contains([',', ' ']) {
        return Err(Wrong::List);
    }
    if authority.contains('*') {
        return Err(Wrong::Pattern);
    }
    Ok((scheme, authority))
}

fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), Wrong> {
    if authority.starts_with('[') {
        let Some(end) = authority.find(']') else {
            return Err(Wrong::OpenBracket);
        };
        let (host, rest) = authority.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(Wrong::AfterBracket),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(Wrong::NoBrackets),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

/// [Host serialising](https://url.spec.whatwg.org/#host-serializing) changes nothing about this host.
fn host_is_serialised(host: &str) -> Result<(), Wrong> {
    if let Some(address) = host.strip_prefix('[') {
        return ipv6_is_serialised(address.trim_end_matches(']'));
    }
    if host.is_empty() {
        return Err(Wrong::NoHost);
    }
    if !host.is_ascii() {
        return Err(Wrong::NotAscii);
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Wrong::HostCase);
    }
    if host.ends_with('.') {
        return Err(Wrong::TrailingDot);
    }
    let is_host_byte = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if !host.bytes().all(is_host_byte) {
        return Err(Wrong::HostBytes);
    }
    if host.len() > MAX_HOST || host.split('.').any(|label| label.len() > MAX_LABEL) {
        return Err(Wrong::TooLong);
    }
    if host.split('.').any(str::is_empty) {
        return Err(Wrong::EmptyLabel);
    }
    if ends_in_a_number(host) && host.parse::<Ipv4Addr>().is_err() {
        return Err(Wrong::Ipv4);
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

fn ipv6_is_serialised(address: &str) -> Result<(), Wrong> {
    let parsed = address.parse().map_err(|_| Wrong::Ipv6)?;
    let mut rest = Rest(address);
    match write_ipv6(parsed, &mut rest) {
        Ok(()) if rest.0.is_empty() => Ok(()),
        _ => Err(Wrong::Ipv6Form),
    }
}

/// [IPv6 serialising](https://url.spec.whatwg.org/#concept-ipv6-serializer) is that of RFC 5952, save that it never
/// writes an IPv4 address inside an IPv6 one.
fn write_ipv6(address: Ipv6Addr, out: &mut dyn fmt::Write) -> fmt::Result {
    match (address.to_ipv4_mapped(), address.segments()) {
        (Some(_), [.., high, low]) => write!(out, "::ffff:{high:x}:{low:x}"),
        (None, _) => write!(out, "{address}"),
    }
}

/// What is left of a text while the same text is written again.
struct Rest<'a>(&'a str);

impl fmt::Write for Rest<'_> {
    fn write_str(&mut self, written: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(written).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn serialised_port(scheme: Scheme, port: &str) -> Result<u16, Wrong> {
    let is_decimal = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    match port.parse() {
        Ok(number) if number == scheme.default_port() => Err(Wrong::DefaultPort(scheme)),
        Ok(number @ 1..) if is_decimal => Ok(number),
        _ => Err(Wrong::Port),
    }
}

#[cfg(test)]
mod tests;
