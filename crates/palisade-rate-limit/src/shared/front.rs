//! What a limit knows of keys without asking its store: which are refused for how long, and for which it holds permits.
//!
//! A small table of fixed size. Forgetting a key costs a question to the store, or permits that are lost; it never
//! grants anything.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    Standing,
    counters::{Each, Refused},
};

const WAYS: usize = 4;

#[derive(Debug)]
pub(super) struct Front {
    sets: Box<[Mutex<[Entry; WAYS]>]>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    what: What,
    /// When the store was asked.
    since: u64,
    /// Until when it holds.
    until: u64,
    standings: Each<Standing>,
    waits: Each<Option<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Nothing,
    /// A request of this cost, or a higher one, is refused.
    Blocked {
        cost: u32,
    },
    Leased {
        permits: u32,
    },
    /// Somebody asks for a lease, and others meanwhile for what they need themselves.
    Asking,
}

/// What is known of a key.
#[derive(Debug)]
pub(super) enum Known {
    Nothing,
    Blocked(Refused),
    /// Permits were spent, of the lease that ends at this time.
    Leased {
        standings: Each<Standing>,
        until: u64,
    },
}

impl Entry {
    fn empty() -> Self {
        let standings = Each::none(Standing::new(0, None));
        let waits = Each::none(None);
        Self { key: 0, what: What::Nothing, since: 0, until: 0, standings, waits }
    }

    fn holds(&self, key: u64, now: u64) -> bool {
        self.key == key && self.what != What::Nothing && now < self.until
    }
}

impl Front {
    pub(super) fn for_keys(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).max(1);
        Self { sets: (0..sets).map(|_| Mutex::new([Entry::empty(); WAYS])).collect() }
    }

    fn set(&self, key: u64) -> MutexGuard<'_, [Entry; WAYS]> {
        let set = ((u128::from(key) * self.sets.len() as u128) >> 64) as usize;
        // Entries are written whole.
        self.sets[set].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a key; spends permits, if there are enough.
    pub(super) fn look(&self, key: u64, now: u64, cost: u32) -> Known {
        let mut set = self.set(key);
        let Some(entry) = set.iter_mut().find(|entry| entry.holds(key, now)) else {
            return Known::Nothing;
        };
        let passed = now.saturating_sub(entry.since);
        match &mut entry.what {
            // What costs less may fit, and what costs more has to wait longer.
            What::Blocked { cost: refused } if cost == *refused => Known::Blocked(Refused {
                standings: entry.standings.map(|standing| standing.after(passed)),
                waits: entry.waits.map(|wait| wait.map(|wait| wait.saturating_sub(passed))),
            }),
            What::Leased { permits } if cost <= *permits && *permits > 0 => {
                *permits -= cost;
                let left = *permits;
                let standings = entry.standings;
                let standings = standings.map(|standing| standing.after(passed).with_more(left));
                Known::Leased { standings, until: entry.until }
            }
            _ => Known::Nothing,
        }
    }

    /// Remembers that the store has refused a key, until it would be admitted; not if there are permits of a
    /// lease, and a lease that comes later puts an end to it. Where waiting cannot help there is nothing to remember: quotas may be raised.
    pub(super) fn block(&self, key: u64, asked_at: u64, cost: u32, refused: &Refused) {
        let waits = refused.waits.as_slice();
        let Some(longest) =
            waits.iter().try_fold(0, |longest, wait| wait.map(|wait| wait.max(longest)))
        else {
            return;
        };
        let entry = Entry {
            key,
            what: What::Blocked { cost },
            since: asked_at,
            until: asked_at.saturating_add(longest),
            standings: refused.standings,
            waits: refused.waits,
        };
        let mut set = self.set(key);
        let leased = |old: &Entry| matches!(old.what, What::Leased { permits: 1.. });
        if !set.iter().any(|old| old.holds(key, asked_at) && leased(old)) {
            put(&mut set, entry, asked_at);
        }
    }

    /// Keeps permits for a key, together with those that it has, at most `most`. Answers how many there were too many.
    pub(super) fn lease(
        &self,
        key: u64,
        now: u64,
        until: u64,
        permits: u32,
        most: u32,
        standings: Each<Standing>,
    ) -> u32 {
        let mut set = self.set(key);
        // Permits of two leases last as long as the older one: none lives longer than a window.
        let (held, until) = match set.iter().find(|entry| entry.holds(key, now)) {
            Some(Entry { what: What::Leased { permits: held @ 1.. }, until: older, .. }) => {
                (*held, until.min(*older))
            }
            _ => (0, until),
        };
        let all = held.saturating_add(permits);
        let kept = all.min(most);
        let (what, waits) = (What::Leased { permits: kept }, Each::none(None));
        put(&mut set, Entry { key, what, since: now, until, standings, waits }, now);
        all - kept
    }

    /// True if nobody asks for a lease of this key yet: then whoever calls does, until this time at the latest.
    pub(super) fn may_lease(&self, key: u64, now: u64, until: u64) -> bool {
        let mut set = self.set(key);
        match set.iter().find(|entry| entry.holds(key, now)) {
            Some(Entry { what: What::Asking, .. }) => false,
            // What is left of a lease is kept.
            Some(Entry { what: What::Leased { permits: 1.. }, .. }) => true,
            _ => {
                let entry = Entry { key, what: What::Asking, since: now, until, ..Entry::empty() };
                put(&mut set, entry, now);
                true
            }
        }
    }

    /// Gives permits back to the lease that they were spent of, if it still holds.
    pub(super) fn restore(&self, key: u64, now: u64, lease_until: u64, amount: u32, most: u32) {
        let mut set = self.set(key);
        let of_lease = |entry: &&mut Entry| entry.holds(key, now) && entry.until == lease_until;
        let entry = set.iter_mut().find(of_lease);
        if let Some(Entry { what: What::Leased { permits }, .. }) = entry {
            *permits = permits.saturating_add(amount).min(most);
        }
    }
}

/// In the place of the same key, of one that no longer holds, or of the one that holds for the shortest time.
fn put(set: &mut [Entry; WAYS], entry: Entry, now: u64) {
    let place = set.iter_mut().min_by_key(|old| {
        let same = old.key == entry.key && old.what != What::Nothing;
        let holds = old.what != What::Nothing && now < old.until;
        (!same, holds, old.until)
    });
    if let Some(place) = place {
        *place = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standings() -> Each<Standing> {
        Each::none(Standing::new(0, None))
    }

    fn is_leased(front: &Front, now: u64, cost: u32) -> bool {
        matches!(front.look(1, now, cost), Known::Leased { .. })
    }

    #[test]
    fn permits_of_two_leases_last_as_long_as_the_older_one() {
        let front = Front::for_keys(1);
        assert_eq!(front.lease(1, 0, 60, 3, 10, standings()), 0);
        assert_eq!(front.lease(1, 50, 110, 3, 10, standings()), 0);
        assert!(is_leased(&front, 59, 5), "six together");
        assert!(!is_leased(&front, 60, 1));
        assert_eq!(front.lease(1, 60, 120, 3, 10, standings()), 0, "the others are gone");
        assert!(!is_leased(&front, 61, 4));
        assert!(is_leased(&front, 119, 3));
        assert!(!is_leased(&front, 119, 1), "all are spent");
    }

    #[test]
    fn more_permits_than_one_lease_are_too_many() {
        let front = Front::for_keys(1);
        assert_eq!(front.lease(1, 0, 60, 7, 10, standings()), 0);
        assert_eq!(front.lease(1, 0, 60, 7, 10, standings()), 4);
        assert!(is_leased(&front, 0, 4));
        front.restore(1, 0, 59, 4, 10);
        assert!(!is_leased(&front, 0, 7), "they were of another lease");
        front.restore(1, 0, 60, 9, 10);
        assert!(!is_leased(&front, 0, 11), "no more than one lease");
        assert!(is_leased(&front, 0, 10));
    }

    #[test]
    fn one_request_asks_for_a_lease_and_others_do_not() {
        let front = Front::for_keys(1);
        assert!(front.may_lease(1, 0, 50));
        assert!(!front.may_lease(1, 49, 99));
        assert!(matches!(front.look(1, 0, 1), Known::Nothing));
        assert!(front.may_lease(1, 50, 99), "it was never heard of again");
        front.lease(1, 60, 120, 3, 10, standings());
        assert!(front.may_lease(1, 60, 110), "for a request that costs more than is left");
        assert!(is_leased(&front, 60, 3), "which is still there");
    }

    #[test]
    fn a_full_set_forgets_what_is_over_first_and_then_what_holds_for_the_shortest_time() {
        let front = Front::for_keys(1);
        for (key, until) in [(1, 50), (2, 20), (3, 90), (4, 70)] {
            front.lease(key, 0, until, 1, 1, standings());
        }
        front.lease(5, 10, 99, 1, 1, standings());
        let held = |front: &Front, key| matches!(front.look(key, 15, 0), Known::Leased { .. });
        assert!([1, 3, 4, 5].into_iter().all(|key| held(&front, key)) && !held(&front, 2));
        front.lease(6, 60, 99, 1, 1, standings());
        assert!(!held(&front, 1), "it was over");
    }
}
