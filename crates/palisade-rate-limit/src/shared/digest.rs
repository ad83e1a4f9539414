use std::hash::{Hash, Hasher};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Computes digests of keys, which are the same on all machines with the same secret.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub(super) fn new(secret: &[u8]) -> Self {
        // HMAC accepts keys of any length (RFC 2104, section 2).
        Self(
            Hmac::new_from_slice(secret)
                .unwrap_or_else(|_| unreachable!("HMAC accepts keys of any length")),
        )
    }

    /// Returns the digest of a key. Finding two keys with the same digest is not feasible.
    pub(super) fn digest(&self, key: &impl Hash) -> [u8; 16] {
        let mut message = Message(self.0.clone());
        key.hash(&mut message);
        let digest: [u8; 32] = message.0.finalize().into_bytes().into();
        std::array::from_fn(|at| digest[at])
    }
}

/// Receives what a key writes to a hasher, independent of the machine's byte order and word size.
struct Message(Hmac<Sha256>);

macro_rules! little_endian {
    ($($write:ident $number:ty),*) => {$(
        fn $write(&mut self, number: $number) {
            self.0.update(&number.to_le_bytes());
        }
    )*};
}

impl Hasher for Message {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    little_endian!(write_u16 u16, write_u32 u32, write_u64 u64, write_u128 u128);
    little_endian!(write_i16 i16, write_i32 i32, write_i64 i64, write_i128 i128);

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_i64(number as i64);
    }

    fn finish(&self) -> u64 {
        unreachable!("a digest is more than 64 bits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_the_same_on_all_machines_and_differs_by_key() {
        let key = Key::new(b"palisade");
        let digest = key.digest(&Some((&b"issuer"[..], &b"subject"[..])));
        // computed elsewhere: HMAC-SHA-256 of the discriminant, two lengths and two texts
        let mut message = Vec::new();
        message.extend(1_u64.to_le_bytes());
        for text in ["issuer", "subject"] {
            message.extend((text.len() as u64).to_le_bytes());
            message.extend(text.as_bytes());
        }
        let mut expected = Hmac::<Sha256>::new_from_slice(b"palisade").unwrap();
        expected.update(&message);
        assert_eq!(digest, expected.finalize().into_bytes()[..16]);

        assert_ne!(digest, key.digest(&Some((&b"issuersub"[..], &b"ject"[..]))));
        assert_ne!(digest, Key::new(b"another").digest(&Some((&b"issuer"[..], &b"subject"[..]))));
        assert_ne!(key.digest(&Some(0_u64)), key.digest(&None::<u64>));
    }
}
