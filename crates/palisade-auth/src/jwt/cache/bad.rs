use std::{
    hash::BuildHasher,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::Generation;

/// The tokens whose signature was not valid lately: a flood of one of them must not cost a verification each.
///
/// Stores hashes under a key of this process. Two tokens have the same hash with a probability of 2^-64.
#[derive(Debug)]
pub(in crate::jwt) struct BadSignatures {
    seen: Box<[AtomicU64]>,
    /// False until the first token is added: most services never see one, and hashing takes 100 ns.
    is_used: AtomicBool,
    /// SipHash: a client must not be able to find a bad token with the hash of another client's good one.
    hasher: std::hash::RandomState,
}

impl BadSignatures {
    const SLOTS: usize = 1024;

    pub(in crate::jwt) fn new() -> Self {
        Self {
            seen: (0..Self::SLOTS).map(|_| AtomicU64::new(0)).collect(),
            is_used: AtomicBool::new(false),
            hasher: std::hash::RandomState::new(),
        }
    }

    pub(in crate::jwt) fn contains(&self, token: &[u8], generation: Generation) -> bool {
        if !self.is_used.load(Ordering::Relaxed) {
            return false;
        }
        let (hash, slot) = self.slot_of(token, generation);
        slot.load(Ordering::Relaxed) == hash
    }

    pub(in crate::jwt) fn add(&self, token: &[u8], generation: Generation) {
        let (hash, slot) = self.slot_of(token, generation);
        slot.store(hash, Ordering::Relaxed);
        self.is_used.store(true, Ordering::Relaxed);
    }

    fn slot_of(&self, token: &[u8], generation: Generation) -> (u64, &AtomicU64) {
        // Includes the generation, because a token that is invalid under the old keys may be valid under new ones.
        let hash = self.hasher.hash_one((token, generation.keys, generation.cleared)) | 1;
        (hash, &self.seen[(hash >> 32) as usize % Self::SLOTS])
    }
}
