use http::Uri;
use palisade_core::{
    ConfigError, PublicUrl,
    syntax::{PercentByte, is_unreserved, percent_decode},
};

/// The URLs that the `htu` of proofs may contain.
#[derive(Debug)]
pub(super) struct Target(PublicUrl);

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        PublicUrl::parse("dpop", text).map(Self)
    }

    /// Returns true if `htu` is the URL of a request with this path. Its query and fragment are ignored (RFC 9449, section
    /// 4.3), and differences of RFC 3986, sections 6.2.2 and 6.2.3, do not count.
    pub(super) fn is_target(&self, htu: &str, path: &str) -> bool {
        let htu = htu.split('#').next().unwrap_or_default();
        let Ok(uri) = htu.parse::<Uri>() else { return false };
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return false };
        let Self(url) = self;
        let (host, port) = (authority.host(), authority.port_u16());
        // A port that is not a number is not the default one.
        let is_whole = authority.as_str().len() == host.len();
        let port = port.or_else(|| is_whole.then(|| url.default_port()));
        scheme.as_str() == url.scheme()
            && !authority.as_str().contains('@')
            && host.eq_ignore_ascii_case(url.host())
            && port == Some(url.port().unwrap_or(url.default_port()))
            && normal(uri.path()) == [normal(url.path()), normal(path)].concat()
    }
}

/// Returns a path with unreserved characters decoded and the digits of other escapes in upper case.
fn normal(path: &str) -> Vec<u8> {
    let mut normal = Vec::with_capacity(path.len());
    for byte in percent_decode(path.as_bytes()) {
        match byte {
            PercentByte::Plain(byte) => normal.push(byte),
            PercentByte::Encoded(byte) if is_unreserved(byte) => normal.push(byte),
            PercentByte::Encoded(byte) => normal.extend(format!("%{byte:02X}").into_bytes()),
            PercentByte::Invalid => normal.push(b'%'),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htu_must_equal_the_public_url_and_path() {
        let url = Target::parse("https://api.example.com/v1/").unwrap();
        for same in [
            "https://api.example.com/v1/items",
            "HTTPS://API.example.com:443/v1/items?page=2#top",
            "https://api.example.com/%761/%69tems",
        ] {
            assert!(url.is_target(same, "/items"), "{same}");
        }
        assert!(url.is_target("https://api.example.com/v1/a%2fb", "/a%2Fb"));
        for other in [
            "http://api.example.com/v1/items",
            "https://api.example.com:8443/v1/items",
            "https://api.example.com:99999/v1/items",
            "https://api.example.com:/v1/items",
            "https://evil.example/v1/items",
            "https://api.example.com@evil.example/v1/items",
            "https://user@api.example.com/v1/items",
            "https://api.example.com/v1/items/",
            "https://api.example.com/items",
            "https://api.example.com/v1/ITEMS",
            "https://api.example.com/v1/items%2F",
            "/v1/items",
            "",
        ] {
            assert!(!url.is_target(other, "/items"), "{other}");
        }
        assert!(!url.is_target("https://api.example.com/v1/a/b", "/a%2Fb"));
        let local = Target::parse("http://localhost:3000").unwrap();
        assert!(local.is_target("http://localhost:3000", "/"));
        for wrong in [
            "",
            "/",
            "api.example.com",
            "ftp://a.example",
            "https://a.example?x",
            "https://u@a.example",
        ] {
            assert_eq!(Target::parse(wrong).unwrap_err().setting(), "dpop", "{wrong}");
        }
    }
}
