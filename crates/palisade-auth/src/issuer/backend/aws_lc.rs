use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeySize, PublicKeyComponents},
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
        RsaKeyPair,
    },
};
use palisade_core::Secret;

use super::{Container, PrivateNumbers};
use crate::jwt::{Algorithm, Family, PublicKey, Unusable};

const REJECTED: Unusable = Unusable("it is not a private key of the type that the algorithm needs");

/// A private key that AWS-LC has imported.
pub(in crate::issuer) enum Signer {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair, Family),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(in crate::issuer) fn generate(algorithm: Algorithm) -> Result<Self, Unusable> {
        let failed = |_| Unusable("the backend could not generate a key");
        Ok(match algorithm.family() {
            Family::Rsa => {
                Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?, rsa(algorithm)?)
            }
            Family::Ed25519 => Self::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            curve => Self::Ec(EcdsaKeyPair::generate(ecdsa(curve)?).map_err(failed)?, curve),
        })
    }

    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(in crate::issuer) fn from_der(
        algorithm: Algorithm,
        container: Container,
        der: &Secret,
    ) -> Result<Self, Unusable> {
        let der = der.expose();
        let key = match (algorithm.family(), container) {
            (Family::Rsa, Container::Pkcs8) => {
                RsaKeyPair::from_pkcs8(der).map(|key| (key, rsa(algorithm))).map(Self::rsa)
            }
            (Family::Rsa, Container::Own) => {
                RsaKeyPair::from_der(der).map(|key| (key, rsa(algorithm))).map(Self::rsa)
            }
            // OpenSSL writes the private key only, without the public key to compare it with.
            (Family::Ed25519, Container::Pkcs8) => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(|key| Ok(Self::Ed25519(key)))
            }
            (Family::Ed25519, Container::Own) => return Err(REJECTED),
            (curve, _) => EcdsaKeyPair::from_private_key_der(ecdsa(curve)?, der)
                .map(|key| Ok(Self::Ec(key, curve))),
        };
        key.map_err(|_| REJECTED)?
    }

    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(in crate::issuer) fn from_numbers(
        algorithm: Algorithm,
        numbers: &PrivateNumbers,
    ) -> Result<Self, Unusable> {
        match (algorithm.family(), numbers) {
            (Family::Rsa, PrivateNumbers::Rsa(der)) => {
                Self::from_der(algorithm, Container::Own, der)
            }
            (Family::Ed25519, PrivateNumbers::Curve { d, public }) => {
                Ed25519KeyPair::from_seed_and_public_key(d.expose(), public)
                    .map(Self::Ed25519)
                    .map_err(|_| REJECTED)
            }
            (curve, PrivateNumbers::Curve { d, public }) => {
                EcdsaKeyPair::from_private_key_and_public_key(ecdsa(curve)?, d.expose(), public)
                    .map(|key| Self::Ec(key, curve))
                    .map_err(|_| REJECTED)
            }
            (_, PrivateNumbers::Rsa(_)) => Err(REJECTED),
        }
    }

    fn rsa(
        (key, encoding): (RsaKeyPair, Result<&'static dyn RsaEncoding, Unusable>),
    ) -> Result<Self, Unusable> {
        Ok(Self::Rsa(key, encoding?))
    }

    pub(in crate::issuer) fn public_key(&self) -> Result<PublicKey, Unusable> {
        match self {
            Self::Rsa(key, _) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(key.public_key());
                PublicKey::rsa(&public.n, &public.e)
            }
            Self::Ec(key, curve) => PublicKey::sec1(*curve, key.public_key().as_ref()),
            Self::Ed25519(key) => PublicKey::ed25519(key.public_key().as_ref()),
        }
    }

    /// Returns the signature, or `None` if the random source failed.
    pub(in crate::issuer) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
            Self::Ec(key, _) => {
                Some(key.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec())
            }
            Self::Ed25519(key) => Some(key.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }
}

fn rsa(algorithm: Algorithm) -> Result<&'static dyn RsaEncoding, Unusable> {
    Ok(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
        _ => return Err(REJECTED),
    })
}

fn ecdsa(curve: Family) -> Result<&'static EcdsaSigningAlgorithm, Unusable> {
    Ok(match curve {
        Family::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Family::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        Family::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        Family::Hmac | Family::Rsa | Family::Ed25519 => return Err(REJECTED),
    })
}
