use std::{net::IpAddr, sync::Arc};

use http::{Uri, uri::Scheme};
use palisade_core::{BoxError, ConfigError};
use serde::Deserialize;

use super::fetch::{Fetch, Fetched, MAX_DOCUMENT};

/// Where the keys are.
#[derive(Debug)]
pub(super) struct Source {
    name: Arc<str>,
    place: Place,
    loopback_http: bool,
}

#[derive(Debug)]
enum Place {
    /// At this address.
    KeySet(Uri),
    /// Where the document at `discovery` says, if it is this issuer's (OpenID Connect Discovery 1.0).
    Issuer { issuer: String, discovery: Uri },
}

/// The members of an issuer's metadata that matter here (OpenID Connect Discovery 1.0, section 3). One that occurs twice
/// is an error.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    pub(super) fn key_set(url: &str, loopback_http: bool) -> Result<Self, ConfigError> {
        let place = address(url, loopback_http)
            .map_err(|remedy| ConfigError::new("JWKS URL", url, remedy))?;
        Ok(Self { name: url.into(), place: Place::KeySet(place), loopback_http })
    }

    pub(super) fn issuer(issuer: &str, loopback_http: bool) -> Result<Self, ConfigError> {
        let wrong = |remedy| ConfigError::new("issuer", issuer, remedy);
        if issuer.contains('?') {
            return Err(wrong("an issuer has no query (OpenID Connect Discovery, section 2)"));
        }
        address(issuer, loopback_http).map_err(wrong)?;
        // Section 4 takes a trailing slash off for this address, and for this address only.
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let discovery = address(&format!("{base}/.well-known/openid-configuration"), loopback_http)
            .map_err(wrong)?;
        Ok(Self {
            name: issuer.into(),
            place: Place::Issuer { issuer: issuer.to_owned(), discovery },
            loopback_http,
        })
    }

    /// What logs and errors call it.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Fetches the key set. An issuer is asked each time where it is, so that a set that moved is found.
    pub(super) async fn fetch(&self, with: &dyn Fetch) -> Result<Fetched, BoxError> {
        match &self.place {
            Place::KeySet(url) => document(with, url).await,
            Place::Issuer { issuer, discovery } => {
                let metadata = document(with, discovery).await?;
                let url = self.key_set_of(issuer, &metadata.body)?;
                document(with, &url).await
            }
        }
    }

    fn key_set_of(&self, issuer: &str, metadata: &[u8]) -> Result<Uri, BoxError> {
        let metadata: Metadata = serde_json::from_slice(metadata)
            .map_err(|error| format!("the issuer's metadata cannot be read: {error}"))?;
        // Section 4.3: identical, with nothing normalised. Whoever answers for another issuer is not asked for keys.
        if metadata.issuer != issuer {
            return Err(format!("the metadata is of another issuer: {:?}", metadata.issuer).into());
        }
        address(&metadata.jwks_uri, self.loopback_http).map_err(|remedy| {
            format!("the issuer's jwks_uri {:?} is not taken: {remedy}", metadata.jwks_uri).into()
        })
    }
}

async fn document(with: &dyn Fetch, url: &Uri) -> Result<Fetched, BoxError> {
    let fetched = with.fetch(url).await?;
    if fetched.body.len() > MAX_DOCUMENT {
        return Err(format!("{url} has more than {MAX_DOCUMENT} bytes").into());
    }
    Ok(fetched)
}

/// An address that keys may come from; or what is wrong with it.
fn address(url: &str, loopback_http: bool) -> Result<Uri, &'static str> {
    let uri: Uri = url
        .parse()
        .map_err(|_| "write an absolute URL, such as https://issuer.example/jwks.json")?;
    let Some(authority) = uri.authority() else {
        return Err("write an absolute URL, such as https://issuer.example/jwks.json");
    };
    if authority.as_str().contains('@') {
        return Err("leave out the user: what is in a URL ends up in logs");
    }
    if url.contains('#') {
        return Err("leave out the fragment");
    }
    if is_allowed(&uri, loopback_http) {
        Ok(uri)
    } else {
        Err("use https: whoever can change the keys on their way can sign tokens")
    }
}

/// True for https, and for http to this machine if that was asked for by name.
pub(super) fn is_allowed(uri: &Uri, loopback_http: bool) -> bool {
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
    fn keys_come_over_https_and_nothing_else() {
        assert!(Source::key_set("https://issuer.example/jwks.json", false).is_ok());
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
            assert!(Source::key_set(url, false).is_err(), "{url}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only_even_where_it_is_allowed() {
        for url in [
            "http://127.0.0.1:8080/k",
            "http://[::1]/k",
            "http://localhost/k",
            "http://127.9.9.9/k",
        ] {
            assert!(Source::key_set(url, true).is_ok(), "{url}");
        }
        for url in [
            "http://issuer.example/k",
            "http://10.0.0.1/k",
            "http://localhost.example/k",
            "http://127.0.0.1.example/k",
        ] {
            assert!(Source::key_set(url, true).is_err(), "{url}");
        }
    }

    #[test]
    fn an_issuer_is_asked_at_its_well_known_address() {
        for (issuer, asked) in [
            ("https://issuer.example", "https://issuer.example/.well-known/openid-configuration"),
            ("https://issuer.example/", "https://issuer.example/.well-known/openid-configuration"),
            (
                "https://issuer.example/a/b",
                "https://issuer.example/a/b/.well-known/openid-configuration",
            ),
        ] {
            match Source::issuer(issuer, false).unwrap().place {
                Place::Issuer { discovery, .. } => assert_eq!(discovery.to_string(), asked),
                Place::KeySet(_) => panic!("not an issuer"),
            }
        }
        assert!(Source::issuer("https://issuer.example/?tenant=a", false).is_err());
    }

    #[test]
    fn metadata_of_another_issuer_leads_nowhere() {
        let source = Source::issuer("https://issuer.example", false).unwrap();
        let ask = |metadata: &str| source.key_set_of("https://issuer.example", metadata.as_bytes());
        let good =
            r#"{"issuer":"https://issuer.example","jwks_uri":"https://keys.example/k","x":1}"#;
        assert_eq!(ask(good).unwrap().to_string(), "https://keys.example/k");
        for metadata in [
            r#"{"issuer":"https://issuer.example/","jwks_uri":"https://keys.example/k"}"#,
            r#"{"issuer":"https://ISSUER.example","jwks_uri":"https://keys.example/k"}"#,
            r#"{"issuer":"https://issuer.example","jwks_uri":"http://keys.example/k"}"#,
            r#"{"issuer":"https://issuer.example","jwks_uri":"/k"}"#,
            r#"{"issuer":"https://issuer.example"}"#,
            r#"{"issuer":"https://evil.example","issuer":"https://issuer.example","jwks_uri":"https://keys.example/k"}"#,
            "<html>",
            "",
        ] {
            assert!(ask(metadata).is_err(), "{metadata}");
        }
    }
}
