use std::{
    array,
    sync::{Arc, PoisonError, RwLock},
};

use super::entry::{Entry, Lease};

const WAYS: usize = 4;

/// The memory for four tokens of usual size: a token, as much again for its claims, and the rest of an entry.
pub(super) const BYTES_PER_BUCKET: usize = 8 * 1024;

/// The memory for an entry without the token and its claims.
pub(super) const ENTRY: usize = 256;

/// Returns the memory that a token of this length counts for, in bytes.
pub(super) fn weight(token: &[u8]) -> usize {
    2 * token.len() + ENTRY
}

/// The remembered tokens of all threads.
pub(super) struct Table<C> {
    buckets: Box<[Bucket<C>]>,
}

/// Two cache lines: the hashes tell which entry to look at.
#[repr(align(128))]
struct Bucket<C>(RwLock<Ways<C>>);

struct Ways<C> {
    hashes: [u64; WAYS],
    entries: [Option<Arc<Entry<C>>>; WAYS],
    /// The position that is replaced next.
    oldest: usize,
}

impl<C> Table<C> {
    /// Creates a table of about this many bytes; 0 stores nothing.
    pub(super) fn new(bytes: usize) -> Self {
        let empty = || Ways { hashes: [0; WAYS], entries: array::from_fn(|_| None), oldest: 0 };
        let buckets = 0..bytes / BYTES_PER_BUCKET;
        Self { buckets: buckets.map(|_| Bucket(RwLock::new(empty()))).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Returns the number of tokens that fit in.
    pub(super) fn capacity(&self) -> usize {
        self.buckets.len() * WAYS
    }

    pub(super) fn find(
        &self,
        hash: u64,
        token: &[u8],
        is_current: impl Fn(&Lease) -> bool,
    ) -> Option<Arc<Entry<C>>> {
        let ways = self.bucket(hash)?.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = ways.position(hash, token).and_then(|at| ways.entries[at].as_ref());
        found.filter(|entry| is_current(&entry.lease)).map(Arc::clone)
    }

    /// Stores an entry. Returns the number of tokens that were removed for it before their time was over.
    pub(super) fn insert(&self, entry: &Arc<Entry<C>>, now: f64) -> usize {
        let Some(bucket) = self.bucket(entry.hash) else { return 0 };
        let mut removed: [Option<Arc<Entry<C>>>; WAYS] = array::from_fn(|_| None);
        {
            let mut ways = bucket.0.write().unwrap_or_else(PoisonError::into_inner);
            let same = ways.position(entry.hash, entry.token());
            let free = ways.entries.iter().position(Option::is_none);
            let way = same.or(free).unwrap_or_else(|| {
                let way = ways.oldest;
                ways.oldest = (way + 1) % WAYS;
                way
            });
            ways.hashes[way] = entry.hash;
            let before = ways.entries[way].replace(Arc::clone(entry));
            removed[way] = before.filter(|_| same.is_none());
            // Long tokens take the place of several.
            for other in (1..WAYS).map(|step| (way + step) % WAYS) {
                if ways.weight() <= BYTES_PER_BUCKET {
                    break;
                }
                removed[other] = ways.entries[other].take();
            }
        }
        // Dropped outside of the lock: the claims are of a type of the user.
        removed.iter().flatten().filter(|entry| now < entry.lease.ends).count()
    }

    fn bucket(&self, hash: u64) -> Option<&Bucket<C>> {
        let index = (u128::from(hash) * self.buckets.len() as u128) >> 64;
        self.buckets.get(index as usize)
    }
}

impl<C> Ways<C> {
    fn position(&self, hash: u64, token: &[u8]) -> Option<usize> {
        let is_for = |at: &usize| {
            self.hashes[*at] == hash
                && self.entries[*at].as_ref().is_some_and(|entry| entry.is_for(hash, token))
        };
        (0..WAYS).find(is_for)
    }

    fn weight(&self) -> usize {
        self.entries.iter().flatten().map(|entry| weight(entry.token())).sum()
    }
}
