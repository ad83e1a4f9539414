use std::{error, fmt};

use super::{
    fault::OriginFault,
    parts::{host_and_port, write_ipv6},
};

/// The reason why a text is not an origin. Its `Display` is the remedy.
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
    wrong: OriginFault<'a>,
}

impl<'a> OriginError<'a> {
    pub(super) fn new(text: &'a str, wrong: OriginFault<'a>) -> Self {
        Self { text, wrong }
    }
}

impl fmt::Display for OriginError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.text.split_once("://").map_or("", |(_, authority)| authority);
        let host = host_and_port(authority).map_or(authority, |(host, _)| host);
        f.write_str(match self.wrong {
            OriginFault::Null => {
                "list the origins that pages come from; any page can be `null`, from a sandboxed frame"
            }
            OriginFault::File => {
                "serve the page from a local web server and list that; browsers send `null` for files"
            }
            OriginFault::NotInFull => "write it in full, as in `https://app.example.com`",
            OriginFault::SchemeCase => {
                let scheme = self.text.split_once("://").map_or("", |(scheme, _)| scheme);
                let scheme = scheme.to_ascii_lowercase();
                return write!(f, "write the scheme in lower case, `{scheme}`");
            }
            OriginFault::SchemeName => {
                "begin it with a scheme, such as `https`: a letter, then letters, digits, `+`, `-` and `.`"
            }
            OriginFault::SchemeWithoutPages(scheme) => {
                return write!(
                    f,
                    "list the http or https origin of the page; no page has an origin of the scheme {scheme}"
                );
            }
            OriginFault::OtherHost => {
                "after a scheme that is not http or https come letters, digits, `-`, `_`, `.` and `~` only"
            }
            OriginFault::TrailingSlash => {
                let origin = self.text.trim_end_matches('/');
                return write!(f, "leave out the trailing slash: `{origin}`");
            }
            OriginFault::Path => {
                "leave out path, query and fragment; an origin is scheme, host and port"
            }
            OriginFault::UserInfo => {
                "leave out user name and password; an origin is scheme, host and port"
            }
            OriginFault::List => "list each origin by itself, without white space",
            OriginFault::Pattern => "list each origin in full; there are no patterns in an origin",
            OriginFault::OpenBracket => {
                "close the bracket of the IPv6 address, as in `http://[::1]:8080`"
            }
            OriginFault::AfterBracket => "after an IPv6 address comes nothing but a port",
            OriginFault::NoBrackets => "put an IPv6 address in brackets, as in `http://[::1]:8080`",
            OriginFault::NoHost => "name a host, as in `https://app.example.com`",
            OriginFault::NotAscii => {
                "write the host in Punycode (`xn--...`), as browsers do; \
                 `new URL(\"https://...\").host` in a browser's console says it"
            }
            OriginFault::HostCase => {
                let host = host.to_ascii_lowercase();
                return write!(f, "write the host in lower case, `{host}`");
            }
            OriginFault::TrailingDot => "leave out the dot at the end of the host",
            OriginFault::HostBytes => "a host has letters, digits, `-`, `_` and dots only",
            OriginFault::TooLong => "a host has 253 bytes at most, and 63 between two dots",
            OriginFault::EmptyLabel => "there is a dot too many in the host",
            OriginFault::Ipv4 => "write an IPv4 address as four decimal numbers, as in `127.0.0.1`",
            OriginFault::Ipv6 => "write an IPv6 address as in `[2001:db8::1]`, without a zone",
            OriginFault::Ipv6Form => {
                let address = host.trim_start_matches('[').trim_end_matches(']').parse();
                f.write_str("write the IPv6 address as browsers do, `[")?;
                address.map_or(Ok(()), |address| write_ipv6(address, f))?;
                return f.write_str("]`");
            }
            OriginFault::DefaultPort(scheme) => {
                let (port, scheme) = (scheme.default_port().unwrap_or_default(), scheme.as_str());
                return write!(
                    f,
                    "leave out the port; browsers do not write `:{port}` where it is the default of {scheme}"
                );
            }
            OriginFault::Port => "a port is a number from 1 to 65535, without leading zeros",
        })
    }
}

impl error::Error for OriginError<'_> {}
