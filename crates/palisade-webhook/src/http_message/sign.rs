use std::{borrow::Cow, time::Duration};

#[cfg(feature = "ed25519")]
use aws_lc_rs::signature::Ed25519KeyPair;
#[cfg(feature = "ed25519")]
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, Uri};
use palisade_core::{ConfigError, Secret};
use sha2::{Digest, Sha256};

use super::{DIGEST, HttpSignatures, INPUT, SIGNATURE, SignatureAlgorithm, fields::Input};
use crate::{
    key::{Algorithm, Key},
    scheme::is_id,
    sign::{Headers, unix_seconds},
    signature::to_base64,
};

impl HttpSignatures {
    /// Returns the headers of a request without other header fields to sign, created at this time since the Unix epoch. The
    /// target is path and query that your service sees. The secret of `ed25519` is the seed of the private key: 32 bytes in
    /// base64.
    ///
    /// # Errors
    ///
    /// If the layer rejects the secret; if a key id or a tag is not visible ASCII; if the target is not valid; if fields other
    /// than `content-digest` are required.
    pub fn sign(
        &self,
        secret: impl Into<Secret>,
        key_id: &str,
        method: &Method,
        target: &str,
        created: Duration,
        body: &[u8],
    ) -> Result<HeaderMap, ConfigError> {
        self.check()?;
        if !is_id(key_id) || key_id.contains(['"', '\\']) {
            let remedy = "use visible ASCII without quotes";
            return Err(ConfigError::new("key_id", key_id.escape_debug(), remedy));
        }
        let uri: Uri = target.parse().map_err(|_| {
            ConfigError::new(
                "target",
                target.escape_debug(),
                "use a path and a query, such as `/events`",
            )
        })?;
        let mut head = http::Request::new(()).into_parts().0;
        (head.method, head.uri) = (method.clone(), uri);
        let digest = format!("sha-256=:{}:", to_base64(&Sha256::digest(body)));
        head.headers.extend(Headers::new().with(DIGEST, digest.clone()).done());

        let components: Vec<_> = self.required.iter().map(|name| format!("\"{name}\"")).collect();
        let tag = self.tag.as_ref().map(|tag| format!(";tag=\"{tag}\"")).unwrap_or_default();
        let created = unix_seconds(created);
        let params =
            format!("({});created={created};keyid=\"{key_id}\"{tag}", components.join(" "));
        let names = self.required.iter().map(String::as_str).collect();
        let base =
            self.base(&Input { components: names, text: &params, ..Input::default() }, &head);
        let base = base.map_err(|_| {
            ConfigError::without_value(
                "require",
                "only `content-digest` is there to be signed of the header fields",
            )
        })?;
        let signature = match self.algorithm {
            SignatureAlgorithm::HmacSha256 => Key::from_text(Algorithm::Sha256, &secret.into())?
                .tag_of(&vec![Cow::Borrowed(&base)]),
            #[cfg(feature = "ed25519")]
            #[allow(
                clippy::disallowed_methods,
                reason = "the bytes go into the key that is made of them"
            )]
            SignatureAlgorithm::Ed25519 => {
                let seed = STANDARD.decode(secret.into().expose()).map(Secret::from);
                let pair = seed
                    .ok()
                    .and_then(|seed| Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok());
                let wrong = || {
                    ConfigError::without_value(
                        "secret",
                        "use the seed of an Ed25519 key, 32 bytes in base64",
                    )
                };
                pair.ok_or_else(wrong)?.sign(&base).as_ref().to_vec()
            }
        };
        Ok(Headers::new()
            .with(DIGEST, digest)
            .with(INPUT, format!("sig={params}"))
            .with(SIGNATURE, format!("sig=:{}:", to_base64(&signature)))
            .done())
    }
}
