use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};
use sha2::{Digest, Sha256};

use super::replay::KEY_NAME;
use crate::{
    Algorithm,
    jwt::{Jwk, PublicKey, VerifyingKey, check_members},
};

/// The longest proof, in bytes. One with an RSA key of 4096 bits has some 2 KiB.
const MAX_PROOF: usize = 4 * 1024;

/// The longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// The algorithms of proofs: all asymmetric ones that the backend verifies.
pub(super) const ALGORITHMS: &[Algorithm] = &[
    Algorithm::Es256,
    Algorithm::Es384,
    #[cfg(feature = "aws-lc")]
    Algorithm::Es512,
    Algorithm::EdDsa,
    Algorithm::Ed25519,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
];

/// Why a proof was rejected: for the log, never for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProofFault {
    /// There is no proof, or more than one.
    Count,
    Malformed,
    Type,
    Algorithm,
    /// The key is not a public key, or not the one that the token is bound to.
    Key,
    Signature,
    Method,
    Target,
    Time,
    Id,
    /// `ath` is not the hash of the access token.
    Token,
    Nonce,
}

/// A proof in its parts. Nothing in it is verified yet.
pub(super) struct Proof<'a> {
    message: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key: PublicKey,
    /// The thumbprint of the key (RFC 7638).
    pub(super) thumbprint: String,
    pub(super) claims: Claims,
}

#[derive(Deserialize)]
pub(super) struct Claims {
    jti: String,
    pub(super) htm: String,
    pub(super) htu: String,
    pub(super) iat: f64,
    ath: Option<String>,
    pub(super) nonce: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
    crit: Option<IgnoredAny>,
}

impl<'a> Proof<'a> {
    pub(super) fn parse(field: &'a [u8]) -> Result<Self, ProofFault> {
        if field.len() > MAX_PROOF {
            return Err(ProofFault::Malformed);
        }
        let text = std::str::from_utf8(field).map_err(|_| ProofFault::Malformed)?;
        let (message, signature) = text.rsplit_once('.').ok_or(ProofFault::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(ProofFault::Malformed)?;
        let header: Header = read(header)?;
        if header.typ != "dpop+jwt" || header.crit.is_some() {
            return Err(ProofFault::Type);
        }
        let algorithm = Algorithm::from_name(&header.alg);
        let algorithm = algorithm.filter(|algorithm| ALGORITHMS.contains(algorithm));
        let algorithm = algorithm.ok_or(ProofFault::Algorithm)?;
        // A private key in a proof is known to everyone who has seen it.
        if header.jwk.is_private() {
            return Err(ProofFault::Key);
        }
        let key = header.jwk.public_key().map_err(|_| ProofFault::Key)?;
        let claims: Claims = read(payload)?;
        if claims.jti.is_empty() || claims.jti.len() > MAX_JTI {
            return Err(ProofFault::Id);
        }
        let thumbprint = key.thumbprint();
        Ok(Self { message, signature: decode(signature)?, algorithm, key, thumbprint, claims })
    }

    pub(super) fn verify_signature(&self) -> Result<(), ProofFault> {
        let key = VerifyingKey::public(self.algorithm, &self.key).map_err(|_| ProofFault::Key)?;
        let is_valid = key.verifies(self.message.as_bytes(), &self.signature);
        if is_valid { Ok(()) } else { Err(ProofFault::Signature) }
    }

    pub(super) fn is_for_token(&self, sha256: [u8; 32]) -> bool {
        self.claims.ath.as_deref() == Some(&URL_SAFE_NO_PAD.encode(sha256))
    }

    /// Returns the name of the proof in the store: 43 characters, of which the first 16 name the client's key and the others
    /// the proof. Proofs of different keys never have the same name.
    pub(super) fn id(&self) -> String {
        let hash = |text: &str| URL_SAFE_NO_PAD.encode(Sha256::digest(text));
        let mut id = hash(&self.thumbprint);
        id.truncate(KEY_NAME);
        id.push_str(&hash(&format!("{}.{}", self.thumbprint, self.claims.jti))[KEY_NAME..]);
        id
    }
}

fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, ProofFault> {
    let json = decode(part)?;
    check_members(&json).map_err(|_| ProofFault::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| ProofFault::Malformed)
}

fn decode(part: &str) -> Result<Vec<u8>, ProofFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| ProofFault::Malformed)
}
