use std::fmt;

#[cfg(feature = "_public-keys")]
use super::public_key::{self, PublicKey};
#[cfg(feature = "jwks")]
use crate::jwks::Jwks;
use palisade_core::{ConfigError, Secret};

#[cfg(feature = "_public-keys")]
use super::unusable::Unusable;
use super::{
    algorithm::{Algorithm, Family},
    issuer_keys::IssuerKeys,
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
    /// Empty if the algorithms of the keys apply.
    algorithms: Vec<Algorithm>,
}

#[derive(Clone)]
enum Source {
    Secret(Algorithm, Secret),
    #[cfg(feature = "_public-keys")]
    Pem(Algorithm, String),
    #[cfg(feature = "_public-keys")]
    Der(Algorithm, Vec<u8>),
    #[cfg(feature = "_public-keys")]
    Jsonwebtoken(Algorithm, jsonwebtoken::DecodingKey),
    Jwk(Secret),
    JwkSet(Secret),
    #[cfg(feature = "jwks")]
    Published(Jwks),
}

impl Keys {
    fn new(source: Source) -> Self {
        Self { source, algorithms: Vec::new() }
    }

    /// A secret that the issuer shares with us, for HS256 (at least 32 bytes), HS384 (48) or HS512 (64).
    pub fn secret(algorithm: Algorithm, secret: impl Into<Secret>) -> Self {
        Self::new(Source::Secret(algorithm, secret.into()))
    }

    /// A public key in PEM: `BEGIN PUBLIC KEY`, `BEGIN RSA PUBLIC KEY`, or an X.509 certificate (`BEGIN CERTIFICATE`), of
    /// which only the key is used. Needs the feature `aws-lc` or `rust-crypto`.
    #[cfg(feature = "_public-keys")]
    pub fn pem(algorithm: Algorithm, pem: impl Into<String>) -> Self {
        Self::new(Source::Pem(algorithm, pem.into()))
    }

    /// A public key in DER: a SubjectPublicKeyInfo or an RSAPublicKey. Needs the feature `aws-lc` or `rust-crypto`.
    #[cfg(feature = "_public-keys")]
    pub fn der(algorithm: Algorithm, der: impl Into<Vec<u8>>) -> Self {
        Self::new(Source::Der(algorithm, der.into()))
    }

    /// A key of jsonwebtoken, public or secret, as services that verify tokens with that crate have it. Only the key is
    /// used: neither jsonwebtoken's validation nor its default provider. Needs the feature `aws-lc` or `rust-crypto`.
    #[cfg(feature = "_public-keys")]
    pub fn from_jsonwebtoken(algorithm: Algorithm, key: jsonwebtoken::DecodingKey) -> Self {
        Self::new(Source::Jsonwebtoken(algorithm, key))
    }

    /// A key as JSON (RFC 7517, section 4).
    pub fn jwk(json: impl Into<Secret>) -> Self {
        Self::new(Source::Jwk(json.into()))
    }

    /// A set of keys as JSON (RFC 7517, section 5). Keys of unknown types and for other uses are skipped. A private key is
    /// a [`ConfigError`], and so are two keys for one algorithm with the same `kid`, or without one.
    pub fn jwk_set(json: impl Into<Secret>) -> Self {
        Self::new(Source::JwkSet(json.into()))
    }

    /// The keys that an issuer publishes: fetched, kept and renewed. Keys that cannot be used are skipped and logged once,
    /// with the reason: secrets, private keys, unknown types, keys for other uses. Of two keys with the same `kid` and
    /// algorithm neither is used. Needs the feature `aws-lc` or `rust-crypto`.
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
        Self::new(Source::Published(jwks.clone()))
    }

    /// Accepts these algorithms only. Default: the `alg` of each key; for a JWK without `alg` the usual ones of its type:
    /// RS256, ES256, ES384, ES512, EdDSA and Ed25519, HS256.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Returns the issuer whose metadata says where the keys are, if they are found by discovery.
    pub(super) fn discovered_issuer(&self) -> Option<&str> {
        match &self.source {
            #[cfg(feature = "jwks")]
            Source::Published(jwks) => jwks.discovered_issuer(),
            _ => None,
        }
    }

    pub(super) fn build(&self) -> Result<IssuerKeys, ConfigError> {
        let algorithms = self.algorithms.clone();
        #[cfg(feature = "jwks")]
        if let Source::Published(jwks) = &self.source {
            if cfg!(not(feature = "_public-keys")) {
                return Err(ConfigError::without_value("keys", super::unusable::NO_BACKEND.0));
            }
            return Ok(IssuerKeys::published(jwks, algorithms));
        }
        let keys = self.configured()?;
        let kinds: Vec<_> = keys.algorithms(&algorithms).map(Algorithm::family).collect();
        let secrets = kinds.iter().filter(|kind| **kind == Family::Hmac).count();
        let remedy = if kinds.is_empty() {
            "no key can be used: they may be for encryption, of an unknown type, or not for the allowed algorithms"
        } else if secrets != 0 && secrets != kinds.len() {
            "secrets and public keys must not mix: a public key must never pass as a secret"
        } else {
            keys.check_ids(&algorithms)?;
            keys.log_skipped(None);
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
            #[cfg(feature = "_public-keys")]
            Source::Pem(algorithm, text) => public(*algorithm, "pem", &public_key::from_pem(text)?),
            #[cfg(feature = "_public-keys")]
            Source::Der(algorithm, der) => {
                let key = PublicKey::from_der(der).map_err(|unusable| wrong("der", unusable))?;
                public(*algorithm, "der", &key)
            }
            #[cfg(feature = "_public-keys")]
            Source::Jsonwebtoken(algorithm, key) => from_jsonwebtoken(*algorithm, key),
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

#[cfg(feature = "_public-keys")]
fn wrong(setting: &'static str, Unusable(why): Unusable) -> ConfigError {
    ConfigError::without_value(setting, why)
}

#[cfg(feature = "_public-keys")]
fn public(
    algorithm: Algorithm,
    setting: &'static str,
    key: &PublicKey,
) -> Result<KeySet, ConfigError> {
    VerifyingKey::public(algorithm, key)
        .map(KeySet::single)
        .map_err(|unusable| wrong(setting, unusable))
}

#[cfg(feature = "_public-keys")]
fn from_jsonwebtoken(
    algorithm: Algorithm,
    key: &jsonwebtoken::DecodingKey,
) -> Result<KeySet, ConfigError> {
    use jsonwebtoken::{AlgorithmFamily, DecodingKeyKind};
    const SETTING: &str = "from_jsonwebtoken";
    if let (AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret)) =
        (key.family(), key.kind())
    {
        let secret = Secret::from(secret.as_slice());
        return VerifyingKey::secret(algorithm, &secret).map(KeySet::single);
    }
    let key = PublicKey::from_jsonwebtoken(algorithm.family(), key);
    public(algorithm, SETTING, &key.map_err(|unusable| wrong(SETTING, unusable))?)
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Secret(..) => "secret",
            #[cfg(feature = "_public-keys")]
            Source::Pem(..) => "pem",
            #[cfg(feature = "_public-keys")]
            Source::Der(..) => "der",
            #[cfg(feature = "_public-keys")]
            Source::Jsonwebtoken(..) => "jsonwebtoken",
            Source::Jwk(_) => "jwk",
            Source::JwkSet(_) => "jwk_set",
            #[cfg(feature = "jwks")]
            Source::Published(_) => "published",
        };
        f.debug_struct("Keys").field("source", &source).finish_non_exhaustive()
    }
}
