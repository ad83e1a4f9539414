use jsonwebtoken::{
    Algorithm as Theirs, DecodingKey,
    crypto::{JwtVerifier, rust_crypto::DEFAULT_PROVIDER},
};

use crate::jwt::{algorithm::Algorithm, public_key::PublicKey, unusable::Unusable};

/// The largest RSA modulus that the `rsa` crate verifies with, in bytes: 4096 bits.
const LARGEST_MODULUS: usize = 512;

/// A key and an algorithm of jsonwebtoken.
///
/// jsonwebtoken's verifiers are neither `Send` nor `Sync`, so one is made for each signature. The provider is named here
/// and is never the default of the process: with two backends in a build there is no default, and jsonwebtoken panics.
#[derive(Clone)]
pub(in crate::jwt) struct Verifier {
    algorithm: Theirs,
    key: DecodingKey,
}

impl Verifier {
    /// Imports a key whose type fits the algorithm.
    pub(in crate::jwt) fn new(algorithm: Algorithm, key: &PublicKey) -> Result<Self, Unusable> {
        let algorithm = match algorithm {
            Algorithm::Rs256 => Theirs::RS256,
            Algorithm::Rs384 => Theirs::RS384,
            Algorithm::Rs512 => Theirs::RS512,
            Algorithm::Ps256 => Theirs::PS256,
            Algorithm::Ps384 => Theirs::PS384,
            Algorithm::Ps512 => Theirs::PS512,
            Algorithm::Es256 => Theirs::ES256,
            Algorithm::Es384 => Theirs::ES384,
            Algorithm::EdDsa | Algorithm::Ed25519 => Theirs::EdDSA,
            Algorithm::Es512 => {
                return Err(Unusable(
                    "the backend `rust-crypto` cannot verify ES512: enable the feature `aws-lc`",
                ));
            }
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                return Err(Unusable("the key is not of the type that the algorithm needs"));
            }
        };
        let key = match key {
            // The provider checks RSA keys when it verifies, which would reject every token and never say why.
            PublicKey::Rsa { n, .. } if n.len() > LARGEST_MODULUS => {
                return Err(Unusable(
                    "the backend `rust-crypto` cannot verify with RSA keys over 4096 bits: enable the feature `aws-lc`",
                ));
            }
            PublicKey::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            PublicKey::Point { sec1, .. } => DecodingKey::from_ec_der(sec1),
            PublicKey::Ed25519(x) => DecodingKey::from_ed_der(x),
        };
        let verifier = Self { algorithm, key };
        verifier.make().ok_or(Unusable("the key is not a valid public key"))?;
        Ok(verifier)
    }

    pub(in crate::jwt) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = signature.to_vec();
        self.make().is_some_and(|verifier| verifier.verify(message, &signature).is_ok())
    }

    fn make(&self) -> Option<Box<dyn JwtVerifier>> {
        (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm, &self.key).ok()
    }
}
