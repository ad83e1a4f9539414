//! What a limit has asked of its store.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What a limit has asked of its store since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Decisions that the store was asked for.
    pub asked: u64,
    /// Of these, those that failed or were not answered in time.
    pub failed: u64,
    /// Of these, those that were not answered in time.
    pub timed_out: u64,
    /// How long requests have waited for the store, all together.
    pub waited: Duration,
    /// Whether a node of the store is left alone now, because it has failed several times in a row.
    pub left_alone: bool,
    /// Requests for which the store was not asked because its node had failed before.
    pub skipped: u64,
    /// Requests that were admitted on permits that were leased before.
    pub leased: u64,
    /// Requests that were refused because the store had refused their key before.
    pub remembered: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) asked: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) timed_out: AtomicU64,
    /// In nanoseconds: over five hundred years of them.
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
