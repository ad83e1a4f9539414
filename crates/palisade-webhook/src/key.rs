use std::{fmt, sync::Arc};

#[cfg(feature = "ed25519")]
use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use hmac::{Hmac, KeyInit, Mac};
use palisade_core::{ConfigError, Secret};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use crate::{
    signature::{Kind, Signature},
    signature_headers::{Message, SignatureHeaders},
};

/// The hash of an HMAC (RFC 2104).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC-SHA-256, the most common one.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
    /// HMAC-SHA-1. Collisions of SHA-1 are known, but do not affect HMACs. Some vendors still use it.
    Sha1,
}

/// A key that signs or verifies. For HMACs, the state after the key, from which each message starts.
#[derive(Clone)]
pub(crate) enum Key {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
    #[cfg(feature = "ed25519")]
    Ed25519(ParsedPublicKey),
}

/// The shortest secret, in bytes. Vendors issue 24 or more; less than 16 can be guessed from one captured request.
const SHORTEST: usize = 16;

impl Key {
    /// Creates an HMAC key from a secret that a person may have chosen.
    pub(crate) fn from_text(algorithm: Algorithm, secret: &Secret) -> Result<Self, ConfigError> {
        if secret.len() < SHORTEST {
            return Err(ConfigError::without_value(
                "secret",
                format!(
                    "it needs at least {SHORTEST} bytes, and it has {}: copy it from the sender, or make one with `openssl rand -hex 32`",
                    secret.len()
                ),
            ));
        }
        Self::of_token(algorithm, secret)
    }

    /// Creates an HMAC key from a secret that the sender generates, of any length except 0.
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(crate) fn of_token(algorithm: Algorithm, secret: &Secret) -> Result<Self, ConfigError> {
        if secret.is_empty() {
            return Err(ConfigError::without_value(
                "secret",
                "it is empty, so that any client can sign: copy it from the sender",
            ));
        }
        if secret.expose().trim_ascii().len() != secret.len() {
            return Err(ConfigError::without_value(
                "secret",
                "it begins or ends with white space, such as the line break of a file: trim it",
            ));
        }
        Self::from_bytes(algorithm, secret)
    }

    /// Creates an HMAC key from bytes whose length was checked.
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(crate) fn from_bytes(algorithm: Algorithm, secret: &Secret) -> Result<Self, ConfigError> {
        let bytes = secret.expose();
        let key = match algorithm {
            Algorithm::Sha1 => Hmac::new_from_slice(bytes).ok().map(Self::Sha1),
            Algorithm::Sha256 => Hmac::new_from_slice(bytes).ok().map(Self::Sha256),
            Algorithm::Sha512 => Hmac::new_from_slice(bytes).ok().map(Self::Sha512),
        };
        // An HMAC takes a key of any length.
        key.ok_or_else(|| ConfigError::without_value("secret", "it is no key of an HMAC"))
    }

    /// A public key of 32 bytes (RFC 8032).
    #[cfg(feature = "ed25519")]
    pub(crate) fn ed25519(public: &[u8]) -> Result<Self, ConfigError> {
        let wrong =
            || ConfigError::without_value("secret", "`whpk_` is an Ed25519 key of 32 bytes");
        if public.len() != 32 {
            return Err(wrong());
        }
        ParsedPublicKey::new(&ED25519, public).map(Self::Ed25519).map_err(|_| wrong())
    }

    /// Returns the HMAC of a message, or `None` for a public key.
    pub(crate) fn tag_of(&self, message: &Message<'_>) -> Vec<u8> {
        fn tag<M: Mac + Clone>(key: &M, message: &Message<'_>) -> Vec<u8> {
            let mut mac = key.clone();
            for piece in message {
                mac.update(piece);
            }
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha1(key) => tag(key, message),
            Self::Sha256(key) => tag(key, message),
            Self::Sha512(key) => tag(key, message),
            #[cfg(feature = "ed25519")]
            Self::Ed25519(_) => Vec::new(),
        }
    }

    /// Returns whether one of these signatures is valid for this message. All are compared, each in constant time.
    fn made_one_of(&self, signatures: &[Signature], message: &Message<'_>) -> bool {
        #[cfg(feature = "ed25519")]
        if let Self::Ed25519(key) = self {
            let signatures: Vec<_> =
                signatures.iter().filter(|signature| signature.kind == Kind::Ed25519).collect();
            // Only if there is a signature to verify, because the message must be copied into one piece.
            let message = if signatures.is_empty() { Vec::new() } else { message.concat() };
            return signatures
                .into_iter()
                .any(|signature| key.verify_sig(&message, signature.bytes()).is_ok());
        }
        // The tag is computed also if no signature has its length, so that the time is the same.
        let tag = self.tag_of(message);
        let macs = signatures.iter().filter(|signature| signature.kind == Kind::Mac);
        let equal = macs.map(|signature| tag.ct_eq(signature.bytes()));
        equal.fold(Choice::from(0), |found, equal| found | equal).into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1(_) => "Key(HMAC-SHA-1)",
            Self::Sha256(_) => "Key(HMAC-SHA-256)",
            Self::Sha512(_) => "Key(HMAC-SHA-512)",
            #[cfg(feature = "ed25519")]
            Self::Ed25519(_) => "Key(Ed25519)",
        })
    }
}

/// The active keys with their names.
#[derive(Debug)]
pub(crate) struct Keys(Vec<(Arc<str>, Key)>);

/// The maximum number of active secrets. A rotation needs two.
pub(crate) const MOST_KEYS: usize = 5;

impl Keys {
    pub(crate) fn new(keys: Vec<(Arc<str>, Key)>) -> Result<Self, ConfigError> {
        if keys.len() > MOST_KEYS {
            let remedy = format!("use at most {MOST_KEYS}: each one is tried for each request");
            return Err(ConfigError::new("secrets", keys.len(), remedy));
        }
        let mut ids: Vec<_> = keys.iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            let remedy = "give each secret its own key id: requests name the secret by it";
            return Err(ConfigError::new("key_id", pair[0].escape_debug(), remedy));
        }
        Ok(Self(keys))
    }

    /// Returns the name of the first key that made one of these signatures. Every key is tried on every message, also after
    /// a match, so that the time does not reveal which key matched.
    pub(crate) fn which_signed(
        &self,
        messages: &[Message<'_>],
        presented: &SignatureHeaders<'_>,
    ) -> Option<&Arc<str>> {
        let mut found = None;
        let named = |id: &str| presented.key_id.is_none_or(|named| named == id);
        for (id, key) in self.0.iter().filter(|(id, _)| named(id)) {
            for message in messages {
                if key.made_one_of(&presented.signatures, message) {
                    found = found.or(Some(id));
                }
            }
        }
        found
    }
}
