use std::fmt;

#[cfg(feature = "asymmetric")]
use aws_lc_rs::{
    rsa::PublicKey,
    signature::{
        self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use palisade_core::{ConfigError, Secret};
use sha2::{Sha256, Sha384, Sha512};

use super::algorithm::Algorithm;
#[cfg(feature = "asymmetric")]
use super::algorithm::Family;

/// A key that was made ready once, and the one algorithm that it is for.
///
/// jsonwebtoken's verifiers are neither `Send` nor `Sync`, so that the key would be imported anew for each token; and
/// the choice between its two backends is one for the whole process, which any dependency can upset.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    algorithm: Algorithm,
    material: Material,
}

/// The state of an HMAC after its key, which each token starts from.
#[derive(Clone)]
enum Material {
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
    #[cfg(feature = "asymmetric")]
    Public(ParsedPublicKey),
}

/// A public key that is not one, or too weak.
#[derive(Debug)]
pub(super) struct Unusable(pub(super) &'static str);

/// The smallest RSA modulus that is taken, in bytes: 2048 bits (RFC 7518, section 3.3).
#[cfg(feature = "asymmetric")]
const SMALLEST_MODULUS: usize = 256;

impl VerifyingKey {
    /// An HMAC key. An empty or short secret is refused.
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(super) fn secret(algorithm: Algorithm, secret: &Secret) -> Result<Self, ConfigError> {
        let shortest = algorithm.shortest_secret();
        if secret.len() < shortest {
            return Err(ConfigError::without_value(
                "secret",
                format!(
                    "{algorithm} needs at least {shortest} bytes, and it has {}: make one with `openssl rand -base64 {shortest}`",
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
            ConfigError::new("algorithm", algorithm, "a secret is for HS256, HS384 or HS512")
        })?;
        Ok(Self { algorithm, material })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks a signature; an HMAC in constant time.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        fn check<M: Mac + Clone>(key: &M, message: &[u8], signature: &[u8]) -> bool {
            let mut mac = key.clone();
            mac.update(message);
            // the whole tag: one of another length is another tag
            mac.verify_slice(signature).is_ok()
        }
        match &self.material {
            Material::Hs256(key) => check(key, message, signature),
            Material::Hs384(key) => check(key, message, signature),
            Material::Hs512(key) => check(key, message, signature),
            #[cfg(feature = "asymmetric")]
            Material::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

#[cfg(feature = "asymmetric")]
impl VerifyingKey {
    /// A public key in DER: SubjectPublicKeyInfo (RFC 5280), or RSAPublicKey (RFC 8017).
    pub(super) fn der(algorithm: Algorithm, der: &[u8]) -> Result<Self, Unusable> {
        if algorithm.family() == Family::Rsa {
            let key = PublicKey::from_der(der).map_err(|_| Unusable("it is no RSA public key"))?;
            if key.modulus_len() < SMALLEST_MODULUS {
                return Err(Unusable("an RSA key needs at least 2048 bits"));
            }
        }
        let how = how(algorithm).ok_or(Unusable("a secret is no public key"))?;
        // Bytes that are a key of another curve, or not wrapped as a key at all, are not taken for one.
        let key = ParsedPublicKey::new(how, der)
            .map_err(|_| Unusable("it is no public key for this algorithm"))?;
        Ok(Self { algorithm, material: Material::Public(key) })
    }

    /// An RSA key of its modulus and exponent, big-endian.
    pub(super) fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Result<Self, Unusable> {
        let first = n.iter().position(|byte| *byte != 0).unwrap_or(n.len());
        let n = &n[first..];
        if n.len() < SMALLEST_MODULUS {
            return Err(Unusable("an RSA key needs at least 2048 bits"));
        }
        let how = rsa(algorithm).ok_or(Unusable("an RSA key is for RS and PS algorithms"))?;
        let key = RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(how)
            .map_err(|_| Unusable("it is no RSA public key"))?;
        Ok(Self { algorithm, material: Material::Public(key) })
    }

    /// A point on P-256 or P-384, of coordinates of full length.
    pub(super) fn point(algorithm: Algorithm, x: &[u8], y: &[u8]) -> Result<Self, Unusable> {
        let length = match algorithm.family() {
            Family::P256 => 32,
            Family::P384 => 48,
            _ => return Err(Unusable("a point is for ES algorithms")),
        };
        if x.len() != length || y.len() != length {
            return Err(Unusable("a coordinate has the wrong length"));
        }
        // SEC 1, section 2.3.3: an uncompressed point.
        let point = [&[4][..], x, y].concat();
        Self::raw(algorithm, &point)
    }

    /// An Ed25519 key of 32 bytes.
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, Unusable> {
        if x.len() != 32 {
            return Err(Unusable("an Ed25519 key has 32 bytes"));
        }
        Self::raw(Algorithm::EdDsa, x)
    }

    fn raw(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, Unusable> {
        let how = how(algorithm).ok_or(Unusable("a secret is no public key"))?;
        let key =
            ParsedPublicKey::new(how, bytes).map_err(|_| Unusable("it is not on its curve"))?;
        Ok(Self { algorithm, material: Material::Public(key) })
    }
}

#[cfg(feature = "asymmetric")]
fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(feature = "asymmetric")]
fn how(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        // R and S side by side, each of full length (RFC 7518, section 3.4); never ASN.1.
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDsa => &signature::ED25519,
        other => rsa(other)?,
    })
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&self.algorithm).finish()
    }
}
