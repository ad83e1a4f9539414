use aws_lc_rs::{
    rsa::PublicKeyComponents,
    signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm},
};

use crate::jwt::{algorithm::Algorithm, public_key::PublicKey, unusable::Unusable};

/// A key that AWS-LC has imported, for one algorithm.
#[derive(Clone)]
pub(in crate::jwt) struct Verifier(ParsedPublicKey);

impl Verifier {
    /// Imports a key whose type fits the algorithm.
    pub(in crate::jwt) fn new(algorithm: Algorithm, key: &PublicKey) -> Result<Self, Unusable> {
        let wrong_type = Unusable("the key is not of the type that the algorithm needs");
        let imported = match key {
            PublicKey::Rsa { n, e } => {
                let parameters = rsa(algorithm).ok_or(wrong_type)?;
                PublicKeyComponents { n: &n[..], e: &e[..] }.to_parsed_public_key(parameters).ok()
            }
            PublicKey::Point { sec1, .. } => {
                ParsedPublicKey::new(curve(algorithm).ok_or(wrong_type)?, sec1).ok()
            }
            PublicKey::Ed25519(x) => ParsedPublicKey::new(&signature::ED25519, x).ok(),
        };
        imported.map(Self).ok_or(Unusable("the key is not a valid public key"))
    }

    pub(in crate::jwt) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

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

/// R and S side by side, each of full length (RFC 7518, section 3.4); never ASN.1.
fn curve(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
        _ => return None,
    })
}
