//! What a machine remembers of keys, so that it need not ask the store: refusals, and permits that were leased.
//!
//! A table of fixed size. Leased permits are charged in the store, so they are never dropped while they are valid: where all
//! places of a key are taken by leases of other keys, the key gets no lease and the store is asked for each request.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    Standing,
    counters::{Each, Refused},
};

const WAYS: usize = 4;

#[derive(Debug)]
pub(super) struct LocalCache {
    sets: Box<[Mutex<[Entry; WAYS]>]>,
    /// When the cache was last told to forget a key, plus one. Answers to older questions may be outdated.
    forgotten: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The key's hash within this process.
    key: u64,
    /// The beginning of the key's digest, which all machines share.
    digest: u64,
    state: State,
    /// When the store was asked.
    since: u64,
    /// When the entry expires.
    until: u64,
    standings: Each<Standing>,
    waits: Each<Option<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    /// The store has refused a request of this cost.
    Refused {
        cost: u32,
    },
    /// The key is blocked.
    Blocked,
    Leased(Lease),
    /// A request asks for a lease; others ask for their own cost meanwhile.
    Asking,
}

/// Permits that the store has charged in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) permits: u32,
    /// When they were charged, by the store's clock.
    pub(super) moment: u64,
}

/// What is known of a key.
#[derive(Debug)]
pub(super) enum Known {
    Nothing,
    Refused(Refused),
    /// The key is blocked for so many nanoseconds.
    Blocked(u64),
    /// Permits were spent, of the lease that was charged at this moment of the store's clock.
    Leased {
        standings: Each<Standing>,
        moment: u64,
    },
}

/// A key under both of its names.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheKey {
    hash: u64,
    digest: u64,
}

impl CacheKey {
    pub(super) fn new(hash: u64, digest: &[u8; 16]) -> Self {
        Self { hash, digest: start_of(digest) }
    }
}

fn start_of(digest: &[u8; 16]) -> u64 {
    (u128::from_be_bytes(*digest) >> 64) as u64
}

impl Entry {
    fn empty() -> Self {
        let standings = Each::none(Standing::new(0, None));
        let (state, waits) = (State::Empty, Each::none(None));
        Self { key: 0, digest: 0, state, since: 0, until: 0, standings, waits }
    }

    fn is_valid(&self, now: u64) -> bool {
        self.state != State::Empty && now < self.until
    }

    fn is_of(&self, key: u64, now: u64) -> bool {
        self.key == key && self.is_valid(now)
    }

    /// True if the entry may give way to another key.
    fn is_replaceable(&self, now: u64) -> bool {
        match self.state {
            State::Leased(Lease { permits: 1.., .. }) | State::Asking => !self.is_valid(now),
            State::Leased(_) | State::Refused { .. } | State::Blocked | State::Empty => true,
        }
    }
}

impl LocalCache {
    pub(super) fn for_keys(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).max(1);
        let sets = (0..sets).map(|_| Mutex::new([Entry::empty(); WAYS])).collect();
        Self { sets, forgotten: AtomicU64::new(0) }
    }

    fn set(&self, key: u64) -> MutexGuard<'_, [Entry; WAYS]> {
        let set = ((u128::from(key) * self.sets.len() as u128) >> 64) as usize;
        // Entries are written whole.
        self.sets[set].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is known of a key. Spends permits of its lease, if there are enough.
    pub(super) fn spend(&self, key: u64, now: u64, cost: u32) -> Known {
        let mut set = self.set(key);
        let Some(entry) = set.iter_mut().find(|entry| entry.is_of(key, now)) else {
            return Known::Nothing;
        };
        let passed = now.saturating_sub(entry.since);
        match &mut entry.state {
            // A request that costs less may fit, and one that costs more has to wait longer.
            State::Refused { cost: refused } if cost == *refused => Known::Refused(Refused {
                standings: entry.standings.map(|standing| standing.after(passed)),
                waits: entry.waits.map(|wait| wait.map(|wait| wait.saturating_sub(passed))),
            }),
            State::Blocked => {
                let rest = entry.waits.as_slice().first().copied().flatten().unwrap_or(0);
                Known::Blocked(rest.saturating_sub(passed))
            }
            State::Leased(lease) if cost <= lease.permits && lease.permits > 0 => {
                lease.permits -= cost;
                let Lease { permits, moment } = *lease;
                let standings = entry.standings;
                let standings = standings.map(|standing| standing.after(passed).with_more(permits));
                Known::Leased { standings, moment }
            }
            _ => Known::Nothing,
        }
    }

    /// Returns how many leased permits of a key are not spent.
    pub(super) fn permits(&self, key: u64, now: u64) -> u32 {
        let set = self.set(key);
        match set.iter().find(|entry| entry.is_of(key, now)).map(|entry| entry.state) {
            Some(State::Leased(lease)) => lease.permits,
            _ => 0,
        }
    }

    /// Remembers that the store has refused a key, until it would be admitted and for at most `ttl`. Not if the key has
    /// leased permits, and a lease that comes later replaces it. A refusal for ever is not remembered, because quotas may be
    /// raised.
    pub(super) fn refuse(
        &self,
        key: CacheKey,
        asked_at: u64,
        cost: u32,
        refused: &Refused,
        ttl: u64,
    ) {
        let waits = refused.waits.as_slice();
        let Some(longest) =
            waits.iter().try_fold(0, |longest, wait| wait.map(|wait| wait.max(longest)))
        else {
            return;
        };
        let CacheKey { hash, digest } = key;
        let entry = Entry {
            key: hash,
            digest,
            state: State::Refused { cost },
            since: asked_at,
            until: asked_at.saturating_add(longest.min(ttl)),
            standings: refused.standings,
            waits: refused.waits,
        };
        let mut set = self.set(hash);
        let has_permits =
            |old: &Entry| matches!(old.state, State::Leased(Lease { permits: 1.., .. }));
        let is_leased = set.iter().any(|old| old.is_of(hash, asked_at) && has_permits(old));
        if !is_leased && !self.is_outdated(asked_at) {
            put(&mut set, entry, asked_at);
        }
    }

    /// Remembers that a key is blocked for so many nanoseconds, and for at most `ttl`. A lease of the key is dropped.
    pub(super) fn block(&self, key: CacheKey, asked_at: u64, rest: u64, ttl: u64) {
        let CacheKey { hash, digest } = key;
        let mut waits = Each::none(None);
        waits.push(Some(rest));
        let until = asked_at.saturating_add(rest.min(ttl));
        let state = State::Blocked;
        let entry =
            Entry { key: hash, digest, state, since: asked_at, until, waits, ..Entry::empty() };
        let mut set = self.set(hash);
        if !self.is_outdated(asked_at) {
            put(&mut set, entry, asked_at);
        }
    }

    /// Stores a lease of a key that was asked for with [`begin_lease`](Self::begin_lease), at most `most` permits of it.
    /// Returns the permits that go back to the store: those above, those of an older lease, or all if the key was
    /// forgotten meanwhile.
    pub(super) fn lease(
        &self,
        key: CacheKey,
        (since, until): (u64, u64),
        lease: Lease,
        most: u32,
        standings: Each<Standing>,
    ) -> [Lease; 2] {
        let CacheKey { hash, digest } = key;
        let mut set = self.set(hash);
        let none = Lease { permits: 0, ..lease };
        let held = set.iter_mut().find(|entry| entry.is_of(hash, since));
        let (lease, until, older) = match held {
            _ if self.is_outdated(since) => return [lease, none],
            None | Some(Entry { state: State::Empty, .. }) => return [lease, none],
            Some(Entry { state: State::Leased(held), until: theirs, .. }) if *theirs > until => {
                return [lease, Lease { permits: 0, ..*held }];
            }
            Some(Entry { state: State::Leased(held), .. }) => (lease, until, *held),
            Some(Entry {
                state: State::Asking | State::Refused { .. } | State::Blocked, ..
            }) => (lease, until, none),
        };
        let kept = lease.permits.min(most);
        let state = State::Leased(Lease { permits: kept, ..lease });
        let waits = Each::none(None);
        put(&mut set, Entry { key: hash, digest, state, since, until, standings, waits }, since);
        [Lease { permits: lease.permits - kept, ..lease }, older]
    }

    /// True if the caller may ask for a lease of this key, which no other request then does until `until`. False also if all
    /// places of the key are taken by leases of others.
    pub(super) fn begin_lease(&self, key: CacheKey, now: u64, until: u64) -> bool {
        let CacheKey { hash, digest } = key;
        let mut set = self.set(hash);
        match set.iter().find(|entry| entry.is_of(hash, now)).map(|entry| entry.state) {
            Some(State::Asking) => false,
            // The rest of a lease is kept until the next one is there.
            Some(State::Leased(Lease { permits: 1.., .. })) => true,
            _ => {
                let state = State::Asking;
                let entry = Entry { key: hash, digest, state, since: now, until, ..Entry::empty() };
                put(&mut set, entry, now)
            }
        }
    }

    /// Puts permits back into the lease that they were spent of. False if that is not there any more.
    pub(super) fn restore(&self, key: u64, now: u64, spent: Lease, most: u32) -> bool {
        let mut set = self.set(key);
        let entry = set.iter_mut().find(|entry| entry.is_of(key, now));
        match entry.map(|entry| &mut entry.state) {
            Some(State::Leased(Lease { permits, moment })) if *moment == spent.moment => {
                *permits = permits.saturating_add(spent.permits).min(most);
                true
            }
            _ => false,
        }
    }

    /// Drops what is remembered of a key, its leases too, and what is on its way from the store. Looks at all entries,
    /// because the hash that finds one is of this process alone.
    pub(super) fn forget(&self, digest: &[u8; 16], now: u64) {
        self.forgotten.fetch_max(now.saturating_add(1), Ordering::SeqCst);
        let digest = start_of(digest);
        for set in &self.sets {
            let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
            set.iter_mut()
                .filter(|entry| entry.digest == digest)
                .for_each(|entry| *entry = Entry::empty());
        }
    }

    /// True if a key was forgotten since the store was asked.
    fn is_outdated(&self, asked_at: u64) -> bool {
        asked_at < self.forgotten.load(Ordering::SeqCst)
    }
}

/// Puts an entry in the place of the same key, of one that has expired, or of one that may be dropped, the one first that
/// expires first. False if there is no such place.
fn put(set: &mut [Entry; WAYS], entry: Entry, now: u64) -> bool {
    let is_same = |old: &Entry| old.key == entry.key && old.state != State::Empty;
    let place = set
        .iter_mut()
        .filter(|old| is_same(old) || old.is_replaceable(now))
        .min_by_key(|old| (!is_same(old), old.is_valid(now), old.until));
    match place {
        Some(place) => {
            *place = entry;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standings() -> Each<Standing> {
        Each::none(Standing::new(0, None))
    }

    fn key(number: u64) -> CacheKey {
        CacheKey { hash: number, digest: number }
    }

    fn of(permits: u32, moment: u64) -> Lease {
        Lease { permits, moment }
    }

    fn store(cache: &LocalCache, number: u64, times: (u64, u64), lease: Lease) -> [u32; 2] {
        assert!(cache.begin_lease(key(number), times.0, times.0 + 50));
        cache.lease(key(number), times, lease, 10, standings()).map(|back| back.permits)
    }

    fn spends(cache: &LocalCache, number: u64, now: u64, cost: u32) -> bool {
        matches!(cache.spend(number, now, cost), Known::Leased { .. })
    }

    #[test]
    fn permits_of_an_older_lease_go_back_to_the_store() {
        let cache = LocalCache::for_keys(1);
        assert_eq!(store(&cache, 1, (0, 60), of(3, 7)), [0, 0]);
        assert_eq!(cache.lease(key(1), (50, 110), of(5, 8), 10, standings()), [of(0, 8), of(3, 7)]);
        assert!(!spends(&cache, 1, 59, 6), "the newer ones alone");
        assert!(spends(&cache, 1, 109, 5));
        // the answers arrive in another order
        assert_eq!(store(&cache, 2, (50, 110), of(5, 8)), [0, 0]);
        assert_eq!(cache.lease(key(2), (0, 60), of(3, 7), 10, standings())[0], of(3, 7));
    }

    #[test]
    fn permits_above_one_lease_go_back_to_the_store() {
        let cache = LocalCache::for_keys(1);
        assert_eq!(store(&cache, 1, (0, 60), of(14, 7)), [4, 0]);
        assert!(spends(&cache, 1, 0, 4));
        assert!(!cache.restore(1, 0, of(4, 6), 10), "they were of another lease");
        assert!(!spends(&cache, 1, 0, 7));
        assert!(cache.restore(1, 0, of(9, 7), 10));
        assert!(!spends(&cache, 1, 0, 11), "no more than one lease");
        assert!(spends(&cache, 1, 0, 10));
        assert!(!cache.restore(1, 60, of(1, 7), 10), "the lease is over");
    }

    #[test]
    fn one_request_asks_for_a_lease_and_others_do_not() {
        let cache = LocalCache::for_keys(1);
        assert!(cache.begin_lease(key(1), 0, 50));
        assert!(!cache.begin_lease(key(1), 49, 99));
        assert!(matches!(cache.spend(1, 0, 1), Known::Nothing));
        assert!(cache.begin_lease(key(1), 50, 99), "the first never came back");
        cache.lease(key(1), (60, 120), of(3, 1), 10, standings());
        assert!(cache.begin_lease(key(1), 60, 110), "for a request that costs more than is left");
        assert!(spends(&cache, 1, 60, 3), "which is still there");
    }

    #[test]
    fn valid_leases_are_never_dropped_for_other_keys() {
        let cache = LocalCache::for_keys(1);
        let refused = Refused { standings: standings(), waits: Each::none(None) };
        let refused = {
            let mut refused = refused;
            refused.waits.push(Some(1000));
            refused
        };
        for number in 1..=4 {
            assert_eq!(store(&cache, number, (0, 60), of(2, number)), [0, 0]);
        }
        assert!(!cache.begin_lease(key(5), 10, 60), "there is no place");
        assert_eq!(cache.lease(key(5), (10, 70), of(2, 9), 10, standings())[0], of(2, 9));
        cache.refuse(key(6), 10, 1, &refused, 1000);
        assert!((1..=4).all(|number| spends(&cache, number, 20, 1)));

        // A lease that is spent or over gives way.
        assert!(spends(&cache, 1, 20, 1));
        assert!(cache.begin_lease(key(5), 21, 60));
        cache.refuse(key(6), 60, 1, &refused, 1000);
        assert!(matches!(cache.spend(6, 61, 1), Known::Refused(_)));
    }

    #[test]
    fn a_refusal_is_remembered_no_longer_than_its_cap() {
        let cache = LocalCache::for_keys(1);
        let mut refused = Refused { standings: standings(), waits: Each::none(None) };
        refused.waits.push(Some(1000));
        cache.refuse(key(1), 0, 1, &refused, 300);
        assert!(matches!(cache.spend(1, 299, 1), Known::Refused(_)));
        assert!(matches!(cache.spend(1, 300, 1), Known::Nothing));
    }

    #[test]
    fn a_block_is_remembered_for_every_cost() {
        let cache = LocalCache::for_keys(1);
        assert_eq!(store(&cache, 1, (0, 60), of(2, 7)), [0, 0]);
        cache.block(key(1), 10, 1000, 300);
        for cost in [0, 1, 9] {
            assert!(matches!(cache.spend(1, 110, cost), Known::Blocked(900)));
        }
        assert!(matches!(cache.spend(1, 310, 1), Known::Nothing));
    }

    #[test]
    fn what_was_asked_before_a_key_was_forgotten_is_not_stored() {
        let cache = LocalCache::for_keys(64);
        let mut refused = Refused { standings: standings(), waits: Each::none(None) };
        refused.waits.push(Some(1000));
        assert_eq!(store(&cache, 1, (0, 60), of(2, 7)), [0, 0]);
        assert!(cache.begin_lease(key(2), 5, 60));
        cache.forget(&(1_u128 << 64).to_be_bytes(), 10);
        cache.forget(&(2_u128 << 64).to_be_bytes(), 10);
        assert!(!spends(&cache, 1, 11, 1));
        assert_eq!(cache.lease(key(2), (5, 65), of(2, 7), 10, standings())[0], of(2, 7));
        cache.refuse(key(3), 10, 1, &refused, 1000);
        assert!(matches!(cache.spend(3, 11, 1), Known::Nothing));
        cache.refuse(key(3), 11, 1, &refused, 1000);
        assert!(matches!(cache.spend(3, 12, 1), Known::Refused(_)));
    }
}
