use ed25519_dalek::{Signer as _, pkcs8::DecodePrivateKey as _};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use palisade_core::Secret;

use super::{Container, PrivateNumbers};
use crate::jwt::{Algorithm, Family, PublicKey, Unusable};

const REJECTED: Unusable = Unusable("it is not a private key of the type that the algorithm needs");

/// A private key of the RustCrypto crates.
///
/// The `rsa` crate is left out: its operations with private keys take a time that depends on the key (RUSTSEC-2023-0071).
pub(in crate::issuer) enum Signer {
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl Signer {
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(in crate::issuer) fn generate(algorithm: Algorithm) -> Result<Self, Unusable> {
        let curve = supported(algorithm)?;
        // A scalar of all zeros or beyond the order of the curve is rejected: one in 2^32 for P-256.
        for _ in 0..8 {
            let d = super::super::signing_key::random(curve.coordinate().unwrap_or(32))?;
            if let Ok(key) = Self::from_scalar(curve, d.expose()) {
                return Ok(key);
            }
        }
        Err(Unusable("the backend could not generate a key"))
    }

    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(in crate::issuer) fn from_der(
        algorithm: Algorithm,
        container: Container,
        der: &Secret,
    ) -> Result<Self, Unusable> {
        let der = der.expose();
        let key = match (supported(algorithm)?, container) {
            (Family::P256, Container::Pkcs8) => {
                p256::SecretKey::from_pkcs8_der(der).map(Self::P256).ok()
            }
            (Family::P384, Container::Pkcs8) => {
                p384::SecretKey::from_pkcs8_der(der).map(Self::P384).ok()
            }
            (Family::P256, Container::Own) => {
                p256::SecretKey::from_sec1_der(der).map(Self::P256).ok()
            }
            (Family::P384, Container::Own) => {
                p384::SecretKey::from_sec1_der(der).map(Self::P384).ok()
            }
            (Family::Ed25519, Container::Pkcs8) => {
                ed25519_dalek::SigningKey::from_pkcs8_der(der).map(Self::Ed25519).ok()
            }
            _ => None,
        };
        key.ok_or(REJECTED)
    }

    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(in crate::issuer) fn from_numbers(
        algorithm: Algorithm,
        numbers: &PrivateNumbers,
    ) -> Result<Self, Unusable> {
        let curve = supported(algorithm)?;
        let PrivateNumbers::Curve { d, public } = numbers else { return Err(REJECTED) };
        let key = Self::from_scalar(curve, d.expose())?;
        let expected = match curve {
            Family::Ed25519 => PublicKey::ed25519(public),
            curve => PublicKey::sec1(curve, public),
        };
        if key.public_key()? == expected? {
            Ok(key)
        } else {
            Err(Unusable("its private part does not belong to its public part"))
        }
    }

    fn from_scalar(curve: Family, d: &[u8]) -> Result<Self, Unusable> {
        match curve {
            Family::P256 => p256::SecretKey::from_slice(d).map(Self::P256).map_err(|_| REJECTED),
            Family::P384 => p384::SecretKey::from_slice(d).map(Self::P384).map_err(|_| REJECTED),
            Family::Ed25519 => {
                let seed = d.try_into().map_err(|_| REJECTED)?;
                Ok(Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed)))
            }
            Family::Hmac | Family::Rsa | Family::P521 => Err(REJECTED),
        }
    }

    pub(in crate::issuer) fn public_key(&self) -> Result<PublicKey, Unusable> {
        match self {
            Self::P256(key) => {
                PublicKey::sec1(Family::P256, key.public_key().to_encoded_point(false).as_bytes())
            }
            Self::P384(key) => {
                PublicKey::sec1(Family::P384, key.public_key().to_encoded_point(false).as_bytes())
            }
            Self::Ed25519(key) => PublicKey::ed25519(key.verifying_key().as_bytes()),
        }
    }

    /// Returns the signature. These algorithms need no random source: ECDSA signs as RFC 6979 describes.
    pub(in crate::issuer) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        Some(match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature =
                    p256::ecdsa::SigningKey::from(key).sign(message);
                signature.to_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature =
                    p384::ecdsa::SigningKey::from(key).sign(message);
                signature.to_bytes().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
        })
    }
}

fn supported(algorithm: Algorithm) -> Result<Family, Unusable> {
    match algorithm.family() {
        Family::Rsa => Err(Unusable(
            "the backend `rust-crypto` does not sign with RSA, because the time it takes depends on the key: enable the feature `aws-lc`, or use ES256 or EdDSA",
        )),
        Family::P521 => Err(Unusable(
            "the backend `rust-crypto` cannot sign ES512: enable the feature `aws-lc`",
        )),
        Family::Hmac => Err(REJECTED),
        curve => Ok(curve),
    }
}
