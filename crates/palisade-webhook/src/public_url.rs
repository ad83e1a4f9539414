use http::{Uri, uri::Scheme};
use palisade_core::ConfigError;

/// Where senders find us, up to where the path begins that the service sees. It is configured, because the `Host` of a
/// request is the client's to choose.
#[derive(Debug)]
pub(crate) struct PublicUrl {
    pub(crate) scheme: Web,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// Empty, or a path that a proxy or a nested router takes away; without a slash at its end.
    pub(crate) path: String,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Web {
    Http,
    Https,
}

impl Web {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl PublicUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |remedy| ConfigError::new("public_url", text.escape_debug(), remedy);
        let uri: Uri = text
            .parse()
            .map_err(|_| wrong("write it as senders call it, such as `https://api.example.com`"))?;
        let scheme = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => Web::Https,
            Some(scheme) if *scheme == Scheme::HTTP => Web::Http,
            _ => return Err(wrong("begin with `https://` or `http://`")),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("name the public host, and no user"))?;
        if text.contains(['?', '#']) {
            return Err(wrong("leave out the query: it is taken from each request"));
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme, host: authority.host().to_owned(), port: authority.port_u16(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_scheme_and_a_host_and_perhaps_a_port_and_a_path() {
        let url = PublicUrl::parse("https://Api.Example.com:8443/v2/").unwrap();
        assert_eq!((&*url.host, url.port, &*url.path), ("Api.Example.com", Some(8443), "/v2"));
        for wrong in [
            "",
            "/",
            "api.example.com",
            "ftp://a.example",
            "https://a.example?x",
            "https://a.example#x",
            "https://u:p@a.example",
            "https://",
        ] {
            assert_eq!(PublicUrl::parse(wrong).unwrap_err().setting(), "public_url", "{wrong}");
        }
    }
}
