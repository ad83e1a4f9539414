use std::fmt;

use palisade_core::{ConfigError, Secret};

use super::{
    algorithm::Algorithm,
    jwk::{self, Origin},
    key::{Unusable, VerifyingKey},
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

    /// Takes these algorithms only. A JWK that names none itself is otherwise for the usual one of its type: RS256,
    /// ES256, ES384, EdDSA, HS256.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the bytes go into the keys that are made of them"
    )]
    pub(super) fn build(&self) -> Result<KeySet, ConfigError> {
        let unusable = |setting: &'static str| {
            move |Unusable(why)| ConfigError::without_value(setting, why.to_owned())
        };
        let allowed = &self.algorithms;
        let keys = match &self.source {
            Source::Secret(algorithm, secret) => {
                KeySet::single(VerifyingKey::secret(*algorithm, secret)?)
            }
            #[cfg(feature = "asymmetric")]
            Source::Pem(algorithm, text) => {
                let parsed = pem::parse(text).map_err(|_| {
                    ConfigError::without_value("pem", "it is no PEM: it begins with `-----BEGIN`")
                })?;
                if !matches!(parsed.tag(), "PUBLIC KEY" | "RSA PUBLIC KEY") {
                    return Err(ConfigError::new(
                        "pem",
                        parsed.tag(),
                        "give the public key alone: `openssl pkey -pubout` makes it of a private one",
                    ));
                }
                let key = VerifyingKey::der(*algorithm, parsed.contents());
                KeySet::single(key.map_err(unusable("pem"))?)
            }
            #[cfg(feature = "asymmetric")]
            Source::Der(algorithm, der) => {
                KeySet::single(VerifyingKey::der(*algorithm, der).map_err(unusable("der"))?)
            }
            Source::Jwk(json) => {
                let entries = jwk::read_one(json.expose(), Origin::Configured, allowed);
                KeySet::new(entries.map_err(unusable("jwk"))?)
            }
            Source::JwkSet(json) => {
                let entries = jwk::read_set(json.expose(), Origin::Configured, allowed);
                KeySet::new(entries.map_err(unusable("jwk_set"))?)
            }
        };
        if keys.is_empty() || !is_of_one_kind(&keys) {
            return Err(ConfigError::without_value(
                "keys",
                if keys.is_empty() {
                    "none of them is usable: they may be for encryption, of an unknown type, or not for the algorithms that are allowed"
                } else {
                    "secrets and public keys must not mix: a public key must never pass as a secret"
                },
            ));
        }
        Ok(keys)
    }
}

/// Either all secrets, or all public keys.
fn is_of_one_kind(keys: &KeySet) -> bool {
    let mut kinds = keys.algorithms().map(|alg| alg.family() == super::algorithm::Family::Hmac);
    let first = kinds.next();
    kinds.all(|kind| Some(kind) == first)
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
        };
        f.debug_struct("Keys").field("source", &source).finish_non_exhaustive()
    }
}
