use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use palisade_core::{ConfigError, Secret};
use sha2::{Sha256, Sha384, Sha512};

use super::algorithm::Algorithm;
#[cfg(feature = "_public-keys")]
use super::{backend::Verifier, public_key::PublicKey, unusable::Unusable};

/// A key that was imported once, and the one algorithm that it is for.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    algorithm: Algorithm,
    material: Material,
}

/// HMACs are kept in the state after their key, from which each token starts.
#[derive(Clone)]
enum Material {
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
    #[cfg(feature = "_public-keys")]
    Public(Verifier),
}

impl VerifyingKey {
    /// Makes an HMAC key. A secret that is shorter than the hash is an error.
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(crate) fn secret(algorithm: Algorithm, secret: &Secret) -> Result<Self, ConfigError> {
        let shortest = algorithm.shortest_secret();
        if secret.len() < shortest {
            return Err(ConfigError::without_value(
                "secret",
                format!(
                    "{algorithm} needs at least {shortest} bytes; got {}. `openssl rand -base64 {shortest}` makes one",
                    secret.len()
                ),
            ));
        }
        let bytes = secret.expose();
        let material = match algorithm {
            Algorithm::Hs256 => Hmac::new_from_slice(bytes).ok().map(Material::Hs256),
            Algorithm::Hs384 => Hmac::new_from_slice(bytes).ok().map(Material::Hs384),
            Algorithm::Hs512 => Hmac::new_from_slice(bytes).ok().map(Material::Hs512),
            _ => None,
        };
        let material = material.ok_or_else(|| {
            ConfigError::new("algorithm", algorithm, "use a secret with HS256, HS384 or HS512")
        })?;
        Ok(Self { algorithm, material })
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns true if the signature is this key's. HMACs are compared in constant time.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        fn check<M: Mac + Clone>(key: &M, message: &[u8], signature: &[u8]) -> bool {
            let mut mac = key.clone();
            mac.update(message);
            // The whole tag is compared: a truncated one is not accepted.
            mac.verify_slice(signature).is_ok()
        }
        match &self.material {
            Material::Hs256(key) => check(key, message, signature),
            Material::Hs384(key) => check(key, message, signature),
            Material::Hs512(key) => check(key, message, signature),
            #[cfg(feature = "_public-keys")]
            Material::Public(key) => key.verifies(message, signature),
        }
    }
}

#[cfg(feature = "_public-keys")]
impl VerifyingKey {
    /// Makes a verifier of a public key, with the backend in use.
    pub(crate) fn public(algorithm: Algorithm, key: &PublicKey) -> Result<Self, Unusable> {
        if algorithm.family() != key.family() {
            return Err(Unusable("the key is not of the type that the algorithm needs"));
        }
        let material = Material::Public(Verifier::new(algorithm, key)?);
        Ok(Self { algorithm, material })
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&self.algorithm).finish()
    }
}
