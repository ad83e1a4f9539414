use std::{
    fmt,
    hash::BuildHasher,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::quality::RandomState;

use super::claims::Validity;
use crate::Identity;

const WAYS: usize = 4;

/// What four tokens of usual size take up: a token, as much again for its claims, and the rest of an entry.
const BYTES_PER_BUCKET: usize = 8 * 1024;

/// What an entry takes up beside the token and its claims.
const ENTRY: usize = 256;

/// The tokens that were verified lately, so that seeing one again costs a hash and a comparison.
///
/// Only tokens that were good enter it. A token is found by a keyed hash of its end, where the signature is, and then
/// compared whole. What it says about time is checked again each time.
pub(super) struct TokenCache<C> {
    buckets: Box<[Counted<C>]>,
    hasher: RandomState,
    /// These cost a verification each, beside which a count is nothing.
    misses: AtomicU64,
    evictions: AtomicU64,
}

/// A bucket, and how often a token was found in it. A reader has the cache line of the lock anyway.
struct Counted<C> {
    hits: AtomicU64,
    bucket: RwLock<Bucket<C>>,
}

struct Bucket<C> {
    ways: [Option<Entry<C>>; WAYS],
    /// Which one goes next.
    oldest: usize,
}

struct Entry<C> {
    hash: u64,
    generation: Generation,
    /// When it leaves in any case, in seconds since the Unix epoch.
    leaves: f64,
    validity: Validity,
    issuer: usize,
    token: Box<[u8]>,
    identity: Identity<C>,
}

/// What has changed since a token was verified: keys were replaced, or everything was to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) keys: u64,
    pub(super) cleared: u64,
}

/// How often tokens were found, and not; and how many good ones had to go for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheCounts {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
}

/// A token that was found.
pub(super) struct Hit<C> {
    pub(super) identity: Identity<C>,
    pub(super) validity: Validity,
    /// The position of the issuer whose settings apply.
    pub(super) issuer: usize,
}

impl<C> TokenCache<C> {
    /// A cache of about this many bytes; 0 keeps nothing.
    pub(super) fn new(bytes: usize) -> Self {
        let buckets = bytes / BYTES_PER_BUCKET;
        let empty = || Counted {
            hits: AtomicU64::new(0),
            bucket: RwLock::new(Bucket { ways: [const { None }; WAYS], oldest: 0 }),
        };
        Self {
            buckets: (0..buckets).map(|_| empty()).collect(),
            hasher: RandomState::default(),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// What there is to count; nothing of a cache that keeps nothing.
    pub(super) fn counts(&self) -> Option<CacheCounts> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (!self.buckets.is_empty()).then(|| CacheCounts {
            hits: self.buckets.iter().map(|bucket| read(&bucket.hits)).sum(),
            misses: read(&self.misses),
            evictions: read(&self.evictions),
        })
    }

    /// Finds a token that was verified under the keys of now.
    pub(super) fn find(
        &self,
        token: &[u8],
        now: f64,
        generation_of: impl Fn(usize) -> Option<Generation>,
    ) -> Option<Hit<C>> {
        let (hash, counted) = self.bucket_of(token)?;
        let bucket = counted.bucket.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries = bucket.ways.iter().flatten();
        let found = entries.find(|entry| entry.is(hash, token)).filter(|entry| {
            Some(entry.generation) == generation_of(entry.issuer) && now < entry.leaves
        });
        let count = if found.is_some() { &counted.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found.map(|entry| Hit {
            identity: entry.identity.clone(),
            validity: entry.validity,
            issuer: entry.issuer,
        })
    }

    /// Keeps a token that was verified `now`, until `leaves`.
    pub(super) fn keep(
        &self,
        token: &[u8],
        identity: &Identity<C>,
        validity: Validity,
        (issuer, generation): (usize, Generation),
        (now, leaves): (f64, f64),
    ) {
        let size = |token: &[u8]| 2 * token.len() + ENTRY;
        let Some((hash, counted)) = self.bucket_of(token) else { return };
        if size(token) > BYTES_PER_BUCKET {
            return;
        }
        let entry = Entry {
            hash,
            generation,
            leaves,
            validity,
            issuer,
            token: token.into(),
            identity: identity.clone(),
        };
        let mut bucket = counted.bucket.write().unwrap_or_else(PoisonError::into_inner);
        let Bucket { ways, oldest } = &mut *bucket;
        let same = ways.iter().position(|way| way.as_ref().is_some_and(|way| way.is(hash, token)));
        let free = ways.iter().position(Option::is_none);
        let way = same.or(free).unwrap_or_else(|| {
            let way = *oldest;
            *oldest = (way + 1) % WAYS;
            way
        });
        let left = ways[way].replace(entry);
        let mut evicted = usize::from(same.is_none() && left.is_some_and(|left| now < left.leaves));
        // Long tokens take the place of several.
        for other in (1..WAYS).map(|step| (way + step) % WAYS) {
            let together: usize = ways.iter().flatten().map(|way| size(&way.token)).sum();
            if together <= BYTES_PER_BUCKET {
                break;
            }
            evicted += usize::from(ways[other].take().is_some_and(|left| now < left.leaves));
        }
        if evicted > 0 {
            self.evictions.fetch_add(evicted as u64, Ordering::Relaxed);
        }
    }

    /// The hash of a token, and where it would be. The end of a token is its signature: no client can choose many that are
    /// good and have the same.
    fn bucket_of(&self, token: &[u8]) -> Option<(u64, &Counted<C>)> {
        let end = &token[token.len().saturating_sub(32)..];
        let hash = self.hasher.hash_one((end, token.len()));
        let index = (u128::from(hash) * self.buckets.len() as u128) >> 64;
        self.buckets.get(index as usize).map(|bucket| (hash, bucket))
    }
}

impl<C> Entry<C> {
    fn is(&self, hash: u64, token: &[u8]) -> bool {
        self.hash == hash && *self.token == *token
    }
}

impl<C> fmt::Debug for TokenCache<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("buckets", &self.buckets.len()).finish()
    }
}

/// The tokens whose signature was bad lately: a flood of one of them must not cost a verification each.
///
/// It keeps hashes under a key of this process. Two tokens with the same are one in 2^64.
#[derive(Debug)]
pub(super) struct BadSignatures {
    seen: Box<[AtomicU64]>,
    /// SipHash: a client must not be able to find a bad token with the hash of another client's good one.
    hasher: std::hash::RandomState,
}

impl BadSignatures {
    const SLOTS: usize = 1024;

    pub(super) fn new() -> Self {
        Self {
            seen: (0..Self::SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: std::hash::RandomState::new(),
        }
    }

    pub(super) fn contains(&self, token: &[u8], generation: Generation) -> bool {
        let (hash, slot) = self.slot_of(token, generation);
        slot.load(Ordering::Relaxed) == hash
    }

    pub(super) fn add(&self, token: &[u8], generation: Generation) {
        let (hash, slot) = self.slot_of(token, generation);
        slot.store(hash, Ordering::Relaxed);
    }

    fn slot_of(&self, token: &[u8], generation: Generation) -> (u64, &AtomicU64) {
        // Other keys may say otherwise: what was bad under these is not known to be bad under the next.
        let hash = self.hasher.hash_one((token, generation.keys, generation.cleared)) | 1;
        (hash, &self.seen[(hash >> 32) as usize % Self::SLOTS])
    }
}

#[cfg(test)]
mod tests {
    use palisade_core::Principal;

    use super::*;

    const NOW: f64 = 1_000.0;
    const FIRST: Generation = Generation { keys: 1, cleared: 0 };

    fn one_bucket() -> TokenCache<u32> {
        TokenCache::new(BYTES_PER_BUCKET)
    }

    fn keep(cache: &TokenCache<u32>, token: &str, claims: u32, leaves: f64) {
        let identity = Identity::new(claims, Principal::new("ada"));
        let validity = Validity::for_tests();
        cache.keep(token.as_bytes(), &identity, validity, (0, FIRST), (NOW, leaves));
    }

    fn find(cache: &TokenCache<u32>, token: &str, now: f64) -> Option<u32> {
        let hit = cache.find(token.as_bytes(), now, |_| Some(FIRST));
        hit.map(|hit| *hit.identity.claims())
    }

    /// Tokens with the same end have the same hash.
    fn token(start: u32) -> String {
        format!("{start:04}.{}", "s".repeat(32))
    }

    #[test]
    fn tokens_with_the_same_hash_are_different() {
        let cache = one_bucket();
        keep(&cache, &token(1), 1, NOW + 60.0);
        assert_eq!(find(&cache, &token(1), NOW), Some(1));
        assert_eq!(find(&cache, &token(2), NOW), None);
        keep(&cache, &token(2), 2, NOW + 60.0);
        assert_eq!(find(&cache, &token(1), NOW), Some(1));
        assert_eq!(find(&cache, &token(2), NOW), Some(2));
        let counts = cache.counts().unwrap();
        assert_eq!(counts, CacheCounts { hits: 3, misses: 1, evictions: 0 });
    }

    #[test]
    fn entry_is_not_found_when_its_time_is_over() {
        let cache = one_bucket();
        keep(&cache, &token(1), 1, NOW + 60.0);
        assert_eq!(find(&cache, &token(1), NOW + 59.9), Some(1));
        assert_eq!(find(&cache, &token(1), NOW + 60.0), None);
    }

    #[test]
    fn entry_of_other_keys_is_not_found() {
        let cache = one_bucket();
        keep(&cache, &token(1), 1, NOW + 60.0);
        for generation in [
            None,
            Some(Generation { keys: 2, cleared: 0 }),
            Some(Generation { keys: 1, cleared: 1 }),
        ] {
            assert!(cache.find(token(1).as_bytes(), NOW, |_| generation).is_none());
        }
    }

    #[test]
    fn oldest_entry_leaves_for_the_fifth() {
        let cache = one_bucket();
        for number in 0..5 {
            keep(&cache, &token(number), number, NOW + 60.0);
        }
        assert_eq!(find(&cache, &token(0), NOW), None);
        for number in 1..5 {
            assert_eq!(find(&cache, &token(number), NOW), Some(number));
        }
        assert_eq!(cache.counts().unwrap().evictions, 1);

        keep(&cache, &token(4), 40, NOW + 60.0);
        assert_eq!(find(&cache, &token(4), NOW), Some(40), "the same token takes its own place");
        assert_eq!(find(&cache, &token(1), NOW), Some(1));
        assert_eq!(cache.counts().unwrap().evictions, 1);
    }

    #[test]
    fn expired_entries_do_not_count_as_evicted() {
        let cache = one_bucket();
        for number in 0..5 {
            keep(&cache, &token(number), number, NOW);
        }
        assert_eq!(cache.counts().unwrap().evictions, 0);
    }

    #[test]
    fn long_tokens_take_the_place_of_several() {
        let cache = one_bucket();
        let long = |length: usize| "l".repeat(length);
        let largest = (BYTES_PER_BUCKET - ENTRY) / 2;
        keep(&cache, &long(largest + 1), 1, NOW + 60.0);
        assert_eq!(find(&cache, &long(largest + 1), NOW), None);

        keep(&cache, &token(1), 1, NOW + 60.0);
        keep(&cache, &long(largest), 2, NOW + 60.0);
        assert_eq!(find(&cache, &long(largest), NOW), Some(2));
        assert_eq!(find(&cache, &token(1), NOW), None);
        assert_eq!(cache.counts().unwrap().evictions, 1);
    }

    #[test]
    fn cache_without_bytes_keeps_nothing() {
        let cache = TokenCache::new(0);
        keep(&cache, &token(1), 1, NOW + 60.0);
        assert_eq!(find(&cache, &token(1), NOW), None);
        assert_eq!(cache.counts(), None);
    }
}
