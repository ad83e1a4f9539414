use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use palisade_core::syntax::decode_lower_hex;

/// The maximum length of a signature: SHA-512 and Ed25519.
pub(crate) const LONGEST: usize = 64;

/// The maximum number of signatures of a request: with 5 secrets, 50 comparisons.
pub(crate) const MOST: usize = 10;

/// A decoded signature of a request.
#[derive(Clone, Copy)]
pub(crate) struct Signature {
    pub(crate) kind: Kind,
    bytes: [u8; LONGEST],
    length: usize,
}

/// The kind of key. A public key is never used as the secret of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mac,
    Ed25519,
}

impl Signature {
    /// Decodes lower-case hexadecimal. Senders use it, and a signature must have one spelling.
    pub(crate) fn hex(text: &str) -> Option<Self> {
        let length = text.len() / 2;
        let mut bytes = [0; LONGEST];
        decode_lower_hex(text.as_bytes(), bytes.get_mut(..length)?)?;
        (length > 0).then_some(Self { kind: Kind::Mac, bytes, length })
    }

    /// Decodes base64 of the standard alphabet, with padding and without stray bits (RFC 4648, section 4).
    pub(crate) fn base64(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > LONGEST.div_ceil(3) * 4 {
            return None;
        }
        // The decoder requires space for the maximum that the length of the text allows, before it reads the padding.
        let mut room = [0; LONGEST.div_ceil(3) * 3];
        let length = STANDARD.decode_slice(text, &mut room).ok()?;
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..length)?.copy_from_slice(&room[..length]);
        Some(Self { kind: Kind::Mac, bytes, length })
    }

    pub(crate) fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A valid signature is as sensitive as a password until its timestamp expires.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:?}, {} bytes)", self.kind, self.length)
    }
}

/// Encodes bytes as base64.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use palisade_core::syntax::LowerHex;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hexadecimal_has_one_accepted_spelling() {
        assert_eq!(Signature::hex("00ff10").unwrap().bytes(), [0, 255, 16]);
        for wrong in ["", "0", "0g", "FF", "fF", " 00", "00 ", "0x00", "\u{e9}", &"00".repeat(65)] {
            assert!(Signature::hex(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn base64_has_one_accepted_spelling() {
        assert_eq!(Signature::base64("AP8Q").unwrap().bytes(), [0, 255, 16]);
        assert_eq!(Signature::base64(&to_base64(&[7; 64])).unwrap().bytes(), [7; 64]);
        for wrong in ["", "AP8", "AP8=\n", "AB==", "A-_=", " AP8Q", "====", &to_base64(&[7; 65])] {
            assert!(Signature::base64(wrong).is_none(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn signatures_round_trip(bytes in prop::collection::vec(any::<u8>(), 1..=64)) {
            let hex = Signature::hex(&LowerHex(&bytes).to_string()).unwrap();
            prop_assert_eq!(hex.bytes(), &*bytes);
            let base64 = Signature::base64(&to_base64(&bytes)).unwrap();
            prop_assert_eq!(base64.bytes(), &*bytes);
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,200}") {
            let _ = (Signature::hex(&text), Signature::base64(&text));
        }
    }
}
