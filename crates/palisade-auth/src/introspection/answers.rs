use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::{
    Identity,
    jwt::{Fault, Validity},
};

/// The SHA-256 of a token. The token itself is not stored.
pub(super) type TokenHash = [u8; 32];

pub(super) fn hash(token: &[u8]) -> TokenHash {
    Sha256::digest(token).into()
}

/// How many negative answers and failures are stored: 4,096 take about 700 KiB, and at most 5 MiB with long reasons.
const MAX_NEGATIVE: usize = 4096;

/// What an entry takes up besides the claims.
const ENTRY: usize = 256;

/// The answers of an issuer. Active tokens are apart from others, so that made-up tokens do not evict them.
pub(super) struct Answers<C> {
    active: Bounded<ActiveToken<C>>,
    negative: Bounded<Negative>,
}

/// A token that the issuer accepts.
pub(super) struct ActiveToken<C> {
    pub(super) identity: Identity<C>,
    pub(super) validity: Validity,
    /// When `cache_for` has passed.
    pub(super) fresh_until: Duration,
    /// When `max_stale` has passed.
    pub(super) stale_until: Duration,
}

/// A token that the issuer does not accept, or about which it has not answered; until a time.
#[derive(Debug)]
pub(super) enum Negative {
    Rejected { fault: Arc<Fault>, until: Duration },
    Failed { until: Duration },
}

impl<C> Answers<C> {
    /// Creates a memory of about this many bytes for active tokens; 0 stores none.
    pub(super) fn new(bytes: usize) -> Self {
        Self { active: Bounded::new(bytes), negative: Bounded::new(MAX_NEGATIVE) }
    }

    pub(super) fn active(&self, token: &TokenHash) -> Option<&ActiveToken<C>> {
        self.active.get(token)
    }

    pub(super) fn negative(&self, token: &TokenHash, now: Duration) -> Option<&Negative> {
        self.negative.get(token).filter(|negative| match negative {
            Negative::Rejected { until, .. } | Negative::Failed { until } => now < *until,
        })
    }

    /// Stores an active token whose answer has this many bytes.
    pub(super) fn insert_active(&mut self, token: TokenHash, active: ActiveToken<C>, bytes: usize) {
        self.negative.remove(&token);
        // The claims are taken to be as large as the answer, whose buffer may be part of them.
        self.active.insert(token, active, 2 * bytes + ENTRY);
    }

    pub(super) fn insert_rejected(&mut self, token: TokenHash, fault: Arc<Fault>, until: Duration) {
        self.active.remove(&token);
        self.negative.insert(token, Negative::Rejected { fault, until }, 1);
    }

    /// Stores a failure. An active token stays, and is used until `stale_until`.
    pub(super) fn insert_failed(&mut self, token: TokenHash, until: Duration) {
        self.negative.insert(token, Negative::Failed { until }, 1);
    }

    pub(super) fn clear(&mut self) {
        self.active = Bounded::new(self.active.capacity);
        self.negative = Bounded::new(self.negative.capacity);
    }
}

/// A map that removes its oldest entries when their weights exceed its capacity.
struct Bounded<V> {
    entries: HashMap<TokenHash, (V, usize, u64)>,
    /// The entries by age. An entry that was replaced or removed leaves a stale number behind.
    order: VecDeque<(TokenHash, u64)>,
    inserted: u64,
    weight: usize,
    capacity: usize,
}

impl<V> Bounded<V> {
    fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), inserted: 0, weight: 0, capacity }
    }

    fn get(&self, token: &TokenHash) -> Option<&V> {
        self.entries.get(token).map(|(value, ..)| value)
    }

    fn remove(&mut self, token: &TokenHash) {
        if let Some((_, weight, _)) = self.entries.remove(token) {
            self.weight -= weight;
        }
    }

    fn insert(&mut self, token: TokenHash, value: V, weight: usize) {
        self.remove(&token);
        if weight > self.capacity {
            return;
        }
        self.inserted += 1;
        self.weight += weight;
        self.entries.insert(token, (value, weight, self.inserted));
        self.order.push_back((token, self.inserted));
        while self.weight > self.capacity {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.is_current(&oldest, number) {
                self.remove(&oldest);
            }
        }
        if self.order.len() > 2 * self.entries.len() + 16 {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|(token, number)| self.is_current(token, *number));
            self.order = order;
        }
    }

    fn is_current(&self, token: &TokenHash, number: u64) -> bool {
        self.entries.get(token).is_some_and(|(.., current)| *current == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> TokenHash {
        hash(&number.to_le_bytes())
    }

    #[test]
    fn the_oldest_entries_are_removed_first() {
        let mut bounded = Bounded::new(10);
        for number in 0..100 {
            bounded.insert(token(number), number, 3);
            assert!(bounded.weight <= 10 && bounded.entries.len() <= 3);
            assert_eq!(bounded.get(&token(number)), Some(&number));
        }
        assert_eq!(bounded.get(&token(97)), Some(&97));
        assert_eq!(bounded.get(&token(96)), None);
    }

    #[test]
    fn replaced_entries_use_no_additional_memory() {
        let mut bounded = Bounded::new(10);
        for number in 0..100_000 {
            bounded.insert(token(number % 2), number, 5);
        }
        assert_eq!(bounded.weight, 10);
        assert!(bounded.order.len() < 100, "{}", bounded.order.len());
        assert_eq!(bounded.get(&token(0)), Some(&99_998));
        bounded.remove(&token(0));
        bounded.insert(token(2), 0, 5);
        assert_eq!(bounded.get(&token(1)), Some(&99_999));
    }

    #[test]
    fn entries_over_the_capacity_are_not_stored() {
        let mut bounded = Bounded::new(10);
        bounded.insert(token(0), 0, 10);
        bounded.insert(token(1), 1, 11);
        assert_eq!(bounded.get(&token(0)), Some(&0));
        assert_eq!(bounded.get(&token(1)), None);
        let mut none = Bounded::new(0);
        none.insert(token(0), 0, 1);
        assert!(none.entries.is_empty());
    }
}
