//! Tokens that were verified before: verifying one again costs a hash and a comparison.
//!
//! Only valid tokens are stored. A token is found by a keyed hash of its end, where the signature is, and then compared
//! whole. What it says about time is checked on each request.

mod bad;
mod entry;
mod table;
mod thread;

use std::{fmt, hash::BuildHasher, sync::Arc};

use foldhash::quality::RandomState;
use thread_local::ThreadLocal;

pub(crate) use self::entry::{Entry, ThreadEntry, Verified};
pub(super) use self::{
    bad::BadSignatures,
    entry::{Generation, Lease},
};
use self::{
    table::{BYTES_PER_BUCKET, Table, weight},
    thread::{AllCounts, ThreadCache, Threads, add},
};
use crate::Identity;

/// The valid tokens that were seen lately: those of all threads in a table, and those that a thread sees most in a cache
/// of its own before it.
pub(super) struct TokenCache<C> {
    bytes: usize,
    table: Table<C>,
    threads: Box<dyn Threads<C>>,
    counts: AllCounts,
    hasher: RandomState,
}

/// How often tokens were found or not found; and how many valid ones were removed for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheCounts {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
}

impl<C> TokenCache<C> {
    /// Creates a cache of about this many bytes; 0 stores nothing.
    pub(super) fn new(bytes: usize) -> Self
    where
        C: Send + Sync + 'static,
    {
        Self {
            bytes,
            table: Table::new(bytes),
            threads: Box::new(ThreadLocal::new()),
            counts: AllCounts::default(),
            hasher: RandomState::default(),
        }
    }

    /// Returns `None` if the cache stores nothing.
    pub(super) fn counts(&self) -> Option<CacheCounts> {
        (!self.table.is_empty()).then(|| CacheCounts {
            hits: self.counts.sum(|counts| &counts.hits),
            misses: self.counts.sum(|counts| &counts.misses),
            evictions: self.counts.sum(|counts| &counts.evictions),
        })
    }

    /// Finds a token that was verified under the current keys.
    pub(super) fn find(
        &self,
        token: &[u8],
        now: f64,
        generation: impl Fn(usize) -> Option<Generation>,
    ) -> Option<Found<C>> {
        if self.table.is_empty() {
            return None;
        }
        let is_current =
            |lease: &Lease| now < lease.ends && Some(lease.generation) == generation(lease.issuer);
        let (hash, thread) = (self.hash(token), self.thread());
        if let Some(entry) = thread.find(hash, token, is_current) {
            add(&thread.counts.hits, 1);
            return Some(Found::InThread(entry));
        }
        let Some(entry) = self.table.find(hash, token, is_current) else {
            add(&thread.counts.misses, 1);
            return None;
        };
        add(&thread.counts.hits, 1);
        Some(thread.see(&entry).map_or(Found::InTable(entry), Found::InThread))
    }

    /// Stores a token that was verified `now`, and returns the identity of its caller.
    pub(super) fn insert(
        &self,
        token: &[u8],
        verified: Verified<C>,
        lease: Lease,
        now: f64,
    ) -> Identity<C> {
        if self.table.is_empty() || weight(token) > BYTES_PER_BUCKET {
            return verified.into();
        }
        match Entry::new(self.hash(token), token, verified, lease) {
            Ok(entry) => {
                let evicted = self.table.insert(&entry, now);
                add(&self.thread().counts.evictions, evicted as u64);
                entry.into()
            }
            Err(verified) => verified.into(),
        }
    }

    fn thread(&self) -> &ThreadCache<C> {
        let (slots, bytes) = (self.table.capacity() / 16, self.bytes / 16);
        self.threads.this(&|| ThreadCache::new(slots, bytes, self.counts.add_thread()))
    }

    /// Returns the hash of a token. Its end is the signature: no client can choose many tokens that are valid and have the
    /// same hash.
    fn hash(&self, token: &[u8]) -> u64 {
        let end = &token[token.len().saturating_sub(32)..];
        self.hasher.hash_one((end, token.len()))
    }
}

/// A token that was found.
pub(super) enum Found<C> {
    InTable(Arc<Entry<C>>),
    InThread(Arc<ThreadEntry<C>>),
}

impl<C> Found<C> {
    fn entry(&self) -> &Entry<C> {
        match self {
            Self::InTable(entry) => entry,
            Self::InThread(of_thread) => &of_thread.entry,
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.entry().lease
    }

    pub(super) fn claims(&self) -> &C {
        &self.entry().verified.claims
    }
}

impl<C> From<Found<C>> for Identity<C> {
    fn from(found: Found<C>) -> Self {
        match found {
            Found::InTable(entry) => entry.into(),
            Found::InThread(entry) => entry.into(),
        }
    }
}

impl<C> fmt::Debug for TokenCache<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
