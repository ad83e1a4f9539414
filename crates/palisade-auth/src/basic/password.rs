use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use palisade_core::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A password that a client sent: UTF-8, without control characters.
///
/// While it lives it holds one of the places that [`Basic`](crate::Basic) has for verifications.
pub struct Password {
    text: Box<str>,
    _slot: Arc<Slot>,
}

impl Password {
    pub(super) fn new(text: Box<str>, slot: Arc<Slot>) -> Self {
        Self { text, _slot: slot }
    }

    /// The password, for the function that hashes it. Never compare it with `==`.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Compares the password with a secret in constant time, for tools without users. Use a long random secret; verify
    /// passwords that people choose with a slow hash.
    #[allow(clippy::disallowed_methods, reason = "the bytes go into a hash")]
    pub fn matches(&self, secret: &Secret) -> bool {
        // Hashes have equal lengths, so the duration does not reveal the length of the secret.
        let [own, expected] = [self.text.as_bytes(), secret.expose()].map(Sha256::digest);
        own.as_slice().ct_eq(expected.as_slice()).into()
    }
}

/// Shows how long it is.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Password({} bytes)", self.text.len())
    }
}

/// A slot for a concurrent verification, released on drop.
///
/// An atomic counter instead of a semaphore, because requests do not wait for a slot.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<AtomicUsize>,
}

impl Slot {
    pub(super) fn take(taken: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let one_more = |taken| (taken < limit).then_some(taken + 1);
        taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Self { taken: Arc::clone(taken) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}
