use std::sync::Arc;

use http::Uri;
use palisade_core::{BoxError, ConfigError};
use serde::Deserialize;

use crate::fetch::{Fetch, Fetched, MAX_DOCUMENT, parse_address};

/// Where an issuer publishes its keys.
#[derive(Debug)]
pub(super) struct Source {
    name: Arc<str>,
    place: Location,
    loopback_http: bool,
}

#[derive(Debug)]
enum Location {
    KeySet(Uri),
    /// The metadata at `discovery` contains the address, and must name this issuer (OpenID Connect Discovery 1.0).
    Issuer {
        issuer: String,
        discovery: Uri,
    },
}

/// The members of an issuer's metadata that are used here (OpenID Connect Discovery 1.0, section 3). A duplicate of one
/// is an error.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    pub(super) fn key_set(url: &str, loopback_http: bool) -> Result<Self, ConfigError> {
        let place = parse_address(url, loopback_http)
            .map_err(|remedy| ConfigError::new("JWKS URL", url, remedy))?;
        Ok(Self { name: url.into(), place: Location::KeySet(place), loopback_http })
    }

    pub(super) fn issuer(issuer: &str, loopback_http: bool) -> Result<Self, ConfigError> {
        let wrong = |remedy| ConfigError::new("issuer", issuer, remedy);
        if issuer.contains('?') {
            return Err(wrong("an issuer has no query (OpenID Connect Discovery, section 2)"));
        }
        parse_address(issuer, loopback_http).map_err(wrong)?;
        // Section 4 removes a trailing slash for this address, and for this address only.
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let discovery =
            parse_address(&format!("{base}/.well-known/openid-configuration"), loopback_http)
                .map_err(wrong)?;
        Ok(Self {
            name: issuer.into(),
            place: Location::Issuer { issuer: issuer.to_owned(), discovery },
            loopback_http,
        })
    }

    /// Returns the name for logs and errors.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the issuer whose metadata says where the keys are; `None` for an address.
    pub(super) fn discovered_issuer(&self) -> Option<&str> {
        match &self.place {
            Location::KeySet(_) => None,
            Location::Issuer { issuer, .. } => Some(issuer),
        }
    }

    /// Fetches the key set. The metadata of an issuer is fetched each time, so that a key set that moved is found.
    pub(super) async fn fetch(&self, client: &dyn Fetch) -> Result<Fetched, BoxError> {
        match &self.place {
            Location::KeySet(url) => fetch_document(client, url).await,
            Location::Issuer { issuer, discovery } => {
                let metadata = fetch_document(client, discovery).await?;
                let url = self.key_set_address(issuer, &metadata.body)?;
                fetch_document(client, &url).await
            }
        }
    }

    fn key_set_address(&self, issuer: &str, metadata: &[u8]) -> Result<Uri, BoxError> {
        let metadata: Metadata = serde_json::from_slice(metadata)
            .map_err(|error| format!("the issuer's metadata cannot be read: {error}"))?;
        // Section 4.3: byte for byte, without normalisation. Metadata of another issuer must not choose the keys.
        if metadata.issuer != issuer {
            return Err(format!("the metadata is of another issuer: {:?}", metadata.issuer).into());
        }
        parse_address(&metadata.jwks_uri, self.loopback_http).map_err(|remedy| {
            let jwks_uri = &metadata.jwks_uri;
            format!("the issuer's jwks_uri {jwks_uri:?} is not accepted: {remedy}").into()
        })
    }
}

async fn fetch_document(client: &dyn Fetch, url: &Uri) -> Result<Fetched, BoxError> {
    let fetched = client.fetch(url).await?;
    if fetched.body.len() > MAX_DOCUMENT {
        return Err(format!("{url} has more than {MAX_DOCUMENT} bytes").into());
    }
    Ok(fetched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_metadata_is_at_the_well_known_address() {
        for (issuer, asked) in [
            ("https://issuer.example", "https://issuer.example/.well-known/openid-configuration"),
            ("https://issuer.example/", "https://issuer.example/.well-known/openid-configuration"),
            (
                "https://issuer.example/a/b",
                "https://issuer.example/a/b/.well-known/openid-configuration",
            ),
        ] {
            match Source::issuer(issuer, false).unwrap().place {
                Location::Issuer { discovery, .. } => assert_eq!(discovery.to_string(), asked),
                Location::KeySet(_) => panic!("not an issuer"),
            }
        }
        assert!(Source::issuer("https://issuer.example/?tenant=a", false).is_err());
    }

    #[test]
    fn rejects_metadata_of_another_issuer() {
        let source = Source::issuer("https://issuer.example", false).unwrap();
        let address =
            |metadata: &str| source.key_set_address("https://issuer.example", metadata.as_bytes());
        let good =
            r#"{"issuer":"https://issuer.example","jwks_uri":"https://keys.example/k","x":1}"#;
        assert_eq!(address(good).unwrap().to_string(), "https://keys.example/k");
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
            assert!(address(metadata).is_err(), "{metadata}");
        }
    }
}
