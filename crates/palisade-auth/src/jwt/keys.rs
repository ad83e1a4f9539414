use std::fmt;

#[cfg(feature = "asymmetric")]
use super::key::Unusable;
#[cfg(feature = "jwks")]
use crate::jwks::Jwks;
use palisade_core::{ConfigError, Secret};

use super::{
    algorithm::{Algorithm, Family},
    issuer::IssuerKeys,
    jwk::{self, Origin},
    key::VerifyingKey,
    key_set::KeySet,
};

/// The keys that an issuer signs its tokens with, as they are configured. They are checked when the [`Jwt`](crate::Jwt)
/// is built.
///
/// ```
/// use palisade_auth::{Algorithm, Keys};
///
/// let shared = Keys::secret(Algorithm::Hs256, "a signing key of at least thirty-two bytes");
/// let set = Keys::jwk_set(r#"{"keys":[]}"#).algorithms([Algorithm::Rs256, Algorithm::Es256]);
/// ```
#[derive(Clone)]
pub struct Keys {
    source: Source,
    /// Empty: what the keys say of themselves.
    algorithms: Vec<Algorithm>,
}

#[derive(Clone)]
enum Source {
    Secret(Algorithm, Secret),
    #[cfg(feature = "asymmetric")]
    Pem(Algorithm, String),
    #[cfg(feature = "asymmetric")]
    Der(Algorithm, Vec<u8>),
    Jwk(Secret),
    JwkSet(Secret),
    #[cfg(feature = "jwks")]
    Published(Jwks),
}

impl Keys {
    fn of(source: Source) -> Self {
        Self { source, algorithms: Vec::new() }
    }

    /// A secret that the issuer shares with us, for HS256 (at least 32 bytes), HS384 (48) or HS512 (64).
    pub fn secret(algorithm: Algorithm, secret: impl Into<Secret>) -> Self {
        Self::of(Source::Secret(algorithm, secret.into()))
    }

    /// A public key in PEM: `BEGIN PUBLIC KEY`, or `BEGIN RSA PUBLIC KEY`.
    #[cfg(feature = "asymmetric")]
    pub fn pem(algorithm: Algorithm, pem: impl Into<String>) -> Self {
        Self::of(Source::Pem(algorithm, pem.into()))
    }

    /// A public key in DER: what stands between the lines of a PEM.
    #[cfg(feature = "asymmetric")]
    pub fn der(algorithm: Algorithm, der: impl Into<Vec<u8>>) -> Self {
        Self::of(Source::Der(algorithm, der.into()))
    }

    /// A key as JSON (RFC 7517, section 4).
    pub fn jwk(json: impl Into<Secret>) -> Self {
        Self::of(Source::Jwk(json.into()))
    }

    /// A set of keys as JSON (RFC 7517, section 5). Keys of unknown types in it are passed over.
    pub fn jwk_set(json: impl Into<Secret>) -> Self {
        Self::of(Source::JwkSet(json.into()))
    }

    /// The keys that an issuer publishes: fetched, kept and renewed. A secret among them is passed over.
    ///
    /// ```no_run
    /// use palisade_auth::{Jwks, Jwt, Keys};
    /// # #[derive(serde::Deserialize)]
    /// # struct Claims { sub: String }
    /// # fn main() -> Result<(), palisade_core::ConfigError> {
    /// let published = Jwks::issuer("https://login.example.com").build()?;
    /// let auth = Jwt::<Claims>::with_keys(Keys::published(&published))
    ///     .issuer("https://login.example.com")
    ///     .audience("https://api.example.com")
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "jwks")]
    pub fn published(jwks: &Jwks) -> Self {
        Self::of(Source::Published(jwks.clone()))
    }

    /// Takes these algorithms only. A JWK that names none itself is otherwise for the usual one of its type: RS256,
    /// ES256, ES384, EdDSA, HS256.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    pub(super) fn build(&self) -> Result<IssuerKeys, ConfigError> {
        let algorithms = self.algorithms.clone();
        #[cfg(feature = "jwks")]
        if let Source::Published(jwks) = &self.source {
            return Ok(IssuerKeys::published(jwks, algorithms));
        }
        let keys = self.configured()?;
        let kinds: Vec<_> = keys.algorithms(&algorithms).map(Algorithm::family).collect();
        let secrets = kinds.iter().filter(|kind| **kind == Family::Hmac).count();
        let remedy = if kinds.is_empty() {
            "none of them is usable: they may be for encryption, of an unknown type, or not for the algorithms that are allowed"
        } else if secrets != 0 && secrets != kinds.len() {
            "secrets and public keys must not mix: a public key must never pass as a secret"
        } else {
            return Ok(IssuerKeys::configured(keys, algorithms));
        };
        Err(ConfigError::without_value("keys", remedy))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the bytes go into the keys that are made of them"
    )]
    fn configured(&self) -> Result<KeySet, ConfigError> {
        match &self.source {
            Source::Secret(algorithm, secret) => {
                Ok(KeySet::single(VerifyingKey::secret(*algorithm, secret)?))
            }
            #[cfg(feature = "asymmetric")]
            Source::Pem(algorithm, text) => public_key_in(text).and_then(|der| {
                let key = VerifyingKey::der(*algorithm, der.contents());
                key.map(KeySet::single)
                    .map_err(|Unusable(why)| ConfigError::without_value("pem", why))
            }),
            #[cfg(feature = "asymmetric")]
            Source::Der(algorithm, der) => VerifyingKey::der(*algorithm, der)
                .map(KeySet::single)
                .map_err(|unusable| ConfigError::without_value("der", unusable.0)),
            Source::Jwk(json) => jwk::read_one(json.expose(), Origin::Configured)
                .map_err(|unusable| ConfigError::without_value("jwk", unusable.0)),
            Source::JwkSet(json) => jwk::read_set(json.expose(), Origin::Configured)
                .map_err(|unusable| ConfigError::without_value("jwk_set", unusable.0)),
            #[cfg(feature = "jwks")]
            Source::Published(_) => {
                Err(ConfigError::without_value("keys", "they are published, and not configured"))
            }
        }
    }
}

#[cfg(feature = "asymmetric")]
fn public_key_in(text: &str) -> Result<pem::Pem, ConfigError> {
    let parsed = pem::parse(text).map_err(|_| {
        ConfigError::without_value("pem", "it is no PEM: it begins with `-----BEGIN`")
    })?;
    if matches!(parsed.tag(), "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return Ok(parsed);
    }
    Err(ConfigError::new(
        "pem",
        parsed.tag(),
        "give the public key alone: `openssl pkey -pubout` makes it of a private one",
    ))
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Secret(..) => "secret",
            #[cfg(feature = "asymmetric")]
            Source::Pem(..) => "pem",
            #[cfg(feature = "asymmetric")]
            Source::Der(..) => "der",
            Source::Jwk(_) => "jwk",
            Source::JwkSet(_) => "jwk_set",
            #[cfg(feature = "jwks")]
            Source::Published(_) => "published",
        };
        f.debug_struct("Keys").field("source", &source).finish_non_exhaustive()
    }
}
