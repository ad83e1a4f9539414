//! Counts of the questions to a store.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Counts of a limit's questions to its store since the limit was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Requests for which the store was asked.
    pub asked: u64,
    /// How many of these questions failed or timed out.
    pub failed: u64,
    /// How many of these questions timed out.
    pub timed_out: u64,
    /// The total time that requests have waited for the store.
    pub waited: Duration,
    /// True if the breaker of a node is open.
    pub left_alone: bool,
    /// Requests for which the store was not asked because the breaker of its node was open.
    pub skipped: u64,
    /// Requests that were admitted on leased permits.
    pub leased: u64,
    /// Requests that were rejected by a cached rejection or block.
    pub remembered: u64,
}

/// The counters behind [`StoreStats`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) asked: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) timed_out: AtomicU64,
    /// In nanoseconds.
    pub(super) waited: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) leased: AtomicU64,
    pub(super) remembered: AtomicU64,
}

impl Counts {
    pub(super) fn read(&self, left_alone: bool) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            asked: read(&self.asked),
            failed: read(&self.failed),
            timed_out: read(&self.timed_out),
            waited: Duration::from_nanos(read(&self.waited)),
            left_alone,
            skipped: read(&self.skipped),
            leased: read(&self.leased),
            remembered: read(&self.remembered),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
