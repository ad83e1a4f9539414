use http::{Uri, uri::Scheme};
use palisade_core::ConfigError;

/// Where clients reach the service: what `htu` begins with. It is configured, because the `Host` of a request is chosen by
/// the client, and because proxies change it.
#[derive(Debug)]
pub(super) struct PublicUrl {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
    /// Empty, or the path that a proxy removes, without a slash at its end.
    prefix: Box<str>,
}

impl PublicUrl {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let remedy = "use the scheme, the host and the path before the service's own, such as `https://api.example.com`";
        let wrong = || ConfigError::new("dpop", text.escape_debug(), remedy);
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let (Some(authority), Some(scheme)) = (authority, uri.scheme()) else {
            return Err(wrong());
        };
        let port = authority.port_u16().or_else(|| default_port(scheme)).ok_or_else(wrong)?;
        if text.contains(['?', '#']) {
            return Err(wrong());
        }
        Ok(Self {
            scheme: scheme.clone(),
            host: authority.host().to_ascii_lowercase().into(),
            port,
            prefix: uri.path().trim_end_matches('/').into(),
        })
    }

    /// Returns true if `htu` is the URL of a request with this path. Its query and fragment are ignored (RFC 9449, section
    /// 4.3), and differences of RFC 3986, sections 6.2.2 and 6.2.3, do not count.
    pub(super) fn is_target(&self, htu: &str, path: &str) -> bool {
        let htu = htu.split('#').next().unwrap_or_default();
        let Ok(uri) = htu.parse::<Uri>() else { return false };
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return false };
        *scheme == self.scheme
            && !authority.as_str().contains('@')
            && authority.host().eq_ignore_ascii_case(&self.host)
            && authority.port_u16().or_else(|| default_port(scheme)) == Some(self.port)
            && normal(uri.path()) == [normal(&self.prefix), normal(path)].concat()
    }
}

fn default_port(scheme: &Scheme) -> Option<u16> {
    match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

/// Returns a path with unreserved characters decoded and the digits of other escapes in upper case.
fn normal(path: &str) -> Vec<u8> {
    let mut normal = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) else {
            normal.push(first);
            rest = after;
            continue;
        };
        let byte = (high * 16 + low) as u8;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            normal.push(byte);
        } else {
            normal.extend([b'%', after[0].to_ascii_uppercase(), after[1].to_ascii_uppercase()]);
        }
        rest = &after[2..];
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htu_is_the_public_url_and_the_path() {
        let url = PublicUrl::parse("https://api.example.com/v1/").unwrap();
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
        let local = PublicUrl::parse("http://localhost:3000").unwrap();
        assert!(local.is_target("http://localhost:3000", "/"));
        for wrong in [
            "",
            "/",
            "api.example.com",
            "ftp://a.example",
            "https://a.example?x",
            "https://u@a.example",
        ] {
            assert_eq!(PublicUrl::parse(wrong).unwrap_err().setting(), "dpop", "{wrong}");
        }
    }
}
