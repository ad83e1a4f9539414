//! The local cache of rejections and leased permits, which answers requests without asking the store.
//!
//! The cache has a fixed size. Leased permits are charged in the store, so they are not evicted while they are valid: if leases
//! of other keys take all places of a key, the key gets no lease, and the store is asked for each of its requests.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::{Standing, counters::Refused, per_quota::QuotaArray};

const WAYS: usize = 4;

#[derive(Debug)]
pub(super) struct LocalCache {
    sets: Box<[Mutex<[Entry; WAYS]>]>,
    /// The time after the last call of `forget`. Verdicts of earlier questions may be outdated.
    forgotten: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The key's hash within this process.
    key: u64,
    /// The first half of the key's digest, which is the same on all machines.
    digest: u64,
    state: State,
    /// The time of the question to the store.
    since: u64,
    /// When the entry expires.
    until: u64,
    standings: QuotaArray<Standing>,
    waits: QuotaArray<Option<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    /// The store has rejected a request of this cost.
    Refused {
        cost: u32,
    },
    /// The key is blocked.
    Blocked,
    Leased(Lease),
    /// A request is asking for a lease. Concurrent requests ask for their own cost.
    Asking,
}

/// Permits that the store has charged in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) permits: u32,
    /// The time of the charge, by the store's clock.
    pub(super) moment: u64,
}

/// The result of a lookup.
#[derive(Debug)]
pub(crate) enum Cached {
    Nothing,
    Refused(Refused),
    /// The key is blocked for this many nanoseconds.
    Blocked(u64),
    /// Permits were spent. Their lease was charged at `moment`, by the store's clock.
    Leased {
        standings: QuotaArray<Standing>,
        moment: u64,
    },
}

/// The two hashes of a key: of this process and of all machines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheKey {
    hash: u64,
    digest: u64,
}

impl CacheKey {
    pub(super) fn new(hash: u64, digest: &[u8; 16]) -> Self {
        Self { hash, digest: first_half(digest) }
    }
}

fn first_half(digest: &[u8; 16]) -> u64 {
    (u128::from_be_bytes(*digest) >> 64) as u64
}

impl Entry {
    fn empty() -> Self {
        let standings = QuotaArray::filled_with(Standing::new(0, None));
        let (state, waits) = (State::Empty, QuotaArray::filled_with(None));
        Self { key: 0, digest: 0, state, since: 0, until: 0, standings, waits }
    }

    fn is_valid(&self, now: u64) -> bool {
        self.state != State::Empty && now < self.until
    }

    fn is_of(&self, key: u64, now: u64) -> bool {
        self.key == key && self.is_valid(now)
    }

    /// Returns true if the entry may be replaced by another key.
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
        // No holder of the lock panics between two writes.
        self.sets[set].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up a key, and spends permits of its lease if there are enough.
    pub(super) fn spend(&self, key: u64, now: u64, cost: u32) -> Cached {
        let mut set = self.set(key);
        let Some(entry) = set.iter_mut().find(|entry| entry.is_of(key, now)) else {
            return Cached::Nothing;
        };
        let passed = now.saturating_sub(entry.since);
        match &mut entry.state {
            // A request of a lower cost may fit, and one of a higher cost has to wait longer.
            State::Refused { cost: refused } if cost == *refused => Cached::Refused(Refused {
                standings: entry.standings.map(|standing| standing.after(passed)),
                waits: entry.waits.map(|wait| wait.map(|wait| wait.saturating_sub(passed))),
            }),
            State::Blocked => {
                let rest = entry.waits.as_slice().first().copied().flatten().unwrap_or(0);
                Cached::Blocked(rest.saturating_sub(passed))
            }
            State::Leased(lease) if cost <= lease.permits && lease.permits > 0 => {
                lease.permits -= cost;
                let Lease { permits, moment } = *lease;
                let standings = entry.standings;
                let standings = standings.map(|standing| standing.after(passed).with_more(permits));
                Cached::Leased { standings, moment }
            }
            _ => Cached::Nothing,
        }
    }

    /// Returns the remaining leased permits of a key.
    pub(super) fn permits(&self, key: u64, now: u64) -> u32 {
        let set = self.set(key);
        match set.iter().find(|entry| entry.is_of(key, now)).map(|entry| entry.state) {
            Some(State::Leased(lease)) => lease.permits,
            _ => 0,
        }
    }

    /// Stores a rejection until the key would be admitted, for at most `ttl`. Does nothing if the key has leased permits, or if
    /// waiting cannot help, because quotas may be raised. A later lease replaces the rejection.
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

    /// Stores a block of `rest` nanoseconds, for at most `ttl`. Drops a lease of the key.
    pub(super) fn block(&self, key: CacheKey, asked_at: u64, rest: u64, ttl: u64) {
        let CacheKey { hash, digest } = key;
        let mut waits = QuotaArray::filled_with(None);
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

    /// Stores up to `most` permits of a lease that was begun with [`begin_lease`](Self::begin_lease). Returns the permits that
    /// have to be returned to the store: those above `most`, those of an older lease, or all if the key was forgotten
    /// meanwhile.
    pub(super) fn lease(
        &self,
        key: CacheKey,
        (since, until): (u64, u64),
        lease: Lease,
        most: u32,
        standings: QuotaArray<Standing>,
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
        let waits = QuotaArray::filled_with(None);
        put(&mut set, Entry { key: hash, digest, state, since, until, standings, waits }, since);
        [Lease { permits: lease.permits - kept, ..lease }, older]
    }

    /// Reserves the question for a lease until `until`, so that only one request at a time asks for it. Returns false if another
    /// request asks already, or if leases of other keys take all places of the key.
    pub(super) fn begin_lease(&self, key: CacheKey, now: u64, until: u64) -> bool {
        let CacheKey { hash, digest } = key;
        let mut set = self.set(hash);
        match set.iter().find(|entry| entry.is_of(hash, now)).map(|entry| entry.state) {
            Some(State::Asking) => false,
            // The remaining permits are kept until the next lease arrives.
            Some(State::Leased(Lease { permits: 1.., .. })) => true,
            _ => {
                let state = State::Asking;
                let entry = Entry { key: hash, digest, state, since: now, until, ..Entry::empty() };
                put(&mut set, entry, now)
            }
        }
    }

    /// Returns permits to their lease. Returns false if the lease has expired or been replaced.
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

    /// Removes the entries of a key, including leases, and makes the cache ignore verdicts of earlier questions. Searches all
    /// entries, because they are ordered by the hash of this process.
    pub(super) fn forget(&self, digest: &[u8; 16], now: u64) {
        self.forgotten.fetch_max(now.saturating_add(1), Ordering::SeqCst);
        let digest = first_half(digest);
        for set in &self.sets {
            let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
            set.iter_mut()
                .filter(|entry| entry.digest == digest)
                .for_each(|entry| *entry = Entry::empty());
        }
    }

    /// Returns true if `forget` was called since the store was asked.
    fn is_outdated(&self, asked_at: u64) -> bool {
        asked_at < self.forgotten.load(Ordering::SeqCst)
    }
}

/// Replaces the entry of the same key, an expired entry, or the replaceable entry that expires first. Returns false if there is
/// none.
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
mod tests;
