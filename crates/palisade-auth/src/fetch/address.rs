use std::net::IpAddr;

use http::{Uri, uri::Scheme};

/// Reads the address of an issuer's endpoint. The error is the remedy for a [`ConfigError`](palisade_core::ConfigError).
pub(crate) fn parse_address(url: &str, loopback_http: bool) -> Result<Uri, &'static str> {
    let uri: Uri =
        url.parse().map_err(|_| "write an absolute URL, such as https://issuer.example/keys")?;
    let Some(authority) = uri.authority() else {
        return Err("write an absolute URL, such as https://issuer.example/keys");
    };
    if authority.as_str().contains('@') {
        return Err("remove the user: URLs are logged");
    }
    if url.contains('#') {
        return Err("remove the fragment");
    }
    if is_allowed(&uri, loopback_http) {
        Ok(uri)
    } else {
        Err("use https: an attacker who can change the answer on its way can sign in as anyone")
    }
}

/// Returns true for https, and for http to a loopback address if `loopback_http` is set.
pub(crate) fn is_allowed(uri: &Uri, loopback_http: bool) -> bool {
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => loopback_http && is_loopback(uri),
        _ => false,
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_https_only() {
        assert!(parse_address("https://issuer.example/jwks.json", false).is_ok());
        for url in [
            "http://issuer.example/jwks.json",
            "http://127.0.0.1/jwks.json",
            "ftp://issuer.example/jwks.json",
            "https://user:secret@issuer.example/",
            "https://issuer.example/#keys",
            "//issuer.example/jwks.json",
            "/jwks.json",
            "issuer.example",
            "",
        ] {
            assert!(parse_address(url, false).is_err(), "{url}");
        }
    }

    #[test]
    fn insecure_http_is_accepted_for_loopback_only() {
        for url in [
            "http://127.0.0.1:8080/k",
            "http://[::1]/k",
            "http://localhost/k",
            "http://127.9.9.9/k",
        ] {
            assert!(parse_address(url, true).is_ok(), "{url}");
        }
        for url in [
            "http://issuer.example/k",
            "http://10.0.0.1/k",
            "http://localhost.example/k",
            "http://127.0.0.1.example/k",
        ] {
            assert!(parse_address(url, true).is_err(), "{url}");
        }
    }
}
