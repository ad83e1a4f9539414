use http::{Uri, uri::Scheme};

use crate::ConfigError;

/// The URL at which clients reach a service: scheme, host, port, and the path that a proxy or a nested router removes.
///
/// It is a setting of policies that compare the URL of a request with a signed one. The `Host` of a request cannot be used,
/// because the client chooses it and proxies change it.
///
/// ```
/// use palisade_core::PublicUrl;
///
/// let url = PublicUrl::parse("public_url", "https://api.example.com:8443/v2/")?;
/// assert_eq!((url.scheme(), url.host(), url.port()), ("https", "api.example.com", Some(8443)));
/// assert_eq!(url.path(), "/v2");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    is_https: bool,
    host: Box<str>,
    port: Option<u16>,
    path: Box<str>,
}

impl PublicUrl {
    /// Reads a URL. `setting` is the name of the setting in errors.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not an absolute `https` or `http` URL, or has a user, a query or a fragment.
    pub fn parse(setting: &'static str, text: &str) -> Result<Self, ConfigError> {
        let wrong = |remedy| ConfigError::new(setting, text.escape_debug(), remedy);
        let absolute = "write the URL that clients use, such as `https://api.example.com`";
        let uri: Uri = text.parse().map_err(|_| wrong(absolute))?;
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong(absolute)),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("write the public host, without a user"))?;
        let (host, port) = (authority.host(), authority.port_u16());
        // `http` accepts an empty host, and ports that are not numbers.
        let is_whole = authority.as_str().len() == host.len();
        if host.is_empty() || (port.is_none() && !is_whole) || port == Some(0) {
            return Err(wrong(absolute));
        }
        if text.contains(['?', '#']) {
            return Err(wrong("remove the query and the fragment"));
        }
        let path = uri.path().trim_end_matches('/').into();
        Ok(Self { is_https, host: host.into(), port, path })
    }

    /// Returns `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Returns the host as it is written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, if the URL contains one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the port of the scheme: 443 or 80.
    pub fn default_port(&self) -> u16 {
        if self.is_https { 443 } else { 80 }
    }

    /// Returns the path without a slash at its end. Empty if the URL has no path.
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_relative_and_malformed_urls() {
        for wrong in [
            "",
            "/",
            "api.example.com",
            "ftp://a.example",
            "https://a.example?x",
            "https://a.example/?x",
            "https://a.example#x",
            "https://u:p@a.example",
            "https://u@a.example",
            "https://",
            "https://:443",
            "https://a.example:",
            "https://a.example:0",
            "https://a.example:99999",
        ] {
            assert_eq!(PublicUrl::parse("x", wrong).unwrap_err().setting(), "x", "{wrong}");
        }
        let plain = PublicUrl::parse("x", "http://[::1]/").unwrap();
        assert_eq!((plain.scheme(), plain.host(), plain.path()), ("http", "[::1]", ""));
        assert_eq!((plain.port(), plain.default_port()), (None, 80));
    }
}
