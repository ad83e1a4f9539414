//! Circuit breakers for the nodes of a store.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use palisade_core::LogBackoff;

/// The nodes of a store, each with its own breaker, so that a failed node of a cluster does not affect the others.
#[derive(Debug)]
pub(super) struct Nodes {
    threshold: u32,
    pause: Duration,
    nodes: RwLock<HashMap<u64, Arc<Node>>>,
}

/// More nodes than a cluster has. The map is cleared at this size.
const MOST_NODES: usize = 1024;

#[derive(Debug)]
pub(crate) struct Node {
    pub(super) breaker: Breaker,
    pub(super) log: LogBackoff,
}

impl Nodes {
    /// `threshold` failures in a row open a breaker; with 0 there are no breakers.
    pub(super) fn new(threshold: u32, pause: Duration) -> Self {
        Self { threshold, pause, nodes: RwLock::default() }
    }

    pub(super) fn get(&self, id: u64) -> Arc<Node> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get(&id) {
            return Arc::clone(node);
        }
        drop(nodes);
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() >= MOST_NODES {
            nodes.clear();
        }
        let node = || Node {
            breaker: Breaker::new(self.threshold, self.pause),
            log: LogBackoff::default(),
        };
        Arc::clone(nodes.entry(id).or_insert_with(|| Arc::new(node())))
    }

    /// Returns how long an open breaker keeps requests from a node.
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    /// Returns true if the breaker of any node is open.
    pub(super) fn is_any_open(&self) -> bool {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes.values().any(|node| node.breaker.is_open())
    }
}

/// Opens after several consecutive failures, and then allows one attempt in each pause.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    pause: u64,
    /// Consecutive failures.
    failures: AtomicU32,
    /// The time of the next attempt while the breaker is open.
    next_attempt: AtomicU64,
}

impl Breaker {
    fn new(threshold: u32, pause: Duration) -> Self {
        let pause = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        let (failures, next_attempt) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { threshold, pause, failures, next_attempt }
    }

    /// Returns true if requests are kept from the node.
    pub(super) fn is_open(&self) -> bool {
        self.threshold > 0 && self.failures.load(Ordering::Relaxed) >= self.threshold
    }

    /// Returns true if the caller may ask the node. While the breaker is open, this takes the one attempt of the pause; if
    /// its outcome is never recorded, the next pause has another.
    pub(super) fn take_attempt(&self, now: u64) -> bool {
        if !self.is_open() {
            return true;
        }
        let due = self.next_attempt.load(Ordering::Relaxed);
        let next = now.saturating_add(self.pause);
        now >= due
            && self
                .next_attempt
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Counts a failure. Returns true if it opened the breaker.
    pub(super) fn record_failure(&self, now: u64) -> bool {
        let update = |failures: u32| Some(failures.saturating_add(1));
        let before = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        let failures = before.unwrap_or(0).saturating_add(1);
        if self.threshold == 0 || failures < self.threshold {
            return false;
        }
        self.next_attempt.store(now.saturating_add(self.pause), Ordering::Relaxed);
        failures == self.threshold
    }

    /// Closes the breaker.
    pub(super) fn record_success(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_breaker_allows_one_attempt_in_each_pause() {
        let breaker = Breaker::new(3, Duration::from_nanos(10));
        assert!(!breaker.record_failure(0));
        assert!(!breaker.record_failure(0));
        breaker.record_success();
        assert!(!breaker.record_failure(1));
        assert!(!breaker.record_failure(1));
        assert!(breaker.take_attempt(1));
        assert!(breaker.record_failure(2), "the third consecutive failure");
        assert!(!breaker.take_attempt(3));
        assert!(!breaker.take_attempt(11));
        assert!(breaker.take_attempt(12), "the pause is over");
        assert!(!breaker.take_attempt(12), "and one is enough");
        assert!(!breaker.record_failure(13), "it was open already");
        assert!(!breaker.take_attempt(22));
        assert!(breaker.take_attempt(23));
        breaker.record_success();
        assert!((0..5).all(|_| breaker.take_attempt(23)));
    }

    #[test]
    fn attempt_without_an_outcome_expires() {
        let breaker = Breaker::new(1, Duration::from_nanos(10));
        breaker.record_failure(0);
        assert!(breaker.take_attempt(10));
        assert!(!breaker.take_attempt(19));
        assert!(breaker.take_attempt(20));
    }

    #[test]
    fn breaker_without_a_threshold_never_opens() {
        let breaker = Breaker::new(0, Duration::from_secs(1));
        for now in 0..10 {
            assert!(!breaker.record_failure(now));
            assert!(breaker.take_attempt(now));
        }
    }

    #[test]
    fn each_node_has_its_own_breaker() {
        let nodes = Nodes::new(1, Duration::from_nanos(10));
        assert!(nodes.get(1).breaker.record_failure(0));
        assert!(!nodes.get(1).breaker.take_attempt(1));
        assert!(nodes.get(2).breaker.take_attempt(1));
        assert!(nodes.is_any_open());
    }
}
