use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// Leaves a store alone that has failed several times in a row, and lets one request at a time try it afterwards.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    pause: u64,
    /// In a row.
    failures: AtomicU32,
    /// When the next request may try, once there were too many.
    closed_until: AtomicU64,
}

impl Breaker {
    /// `threshold` failures in a row; with 0 there is no breaker.
    pub(super) fn new(threshold: u32, pause: Duration) -> Self {
        let pause = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        let (failures, closed_until) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { threshold, pause, failures, closed_until }
    }

    /// How long the store is left alone.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_nanos(self.pause)
    }

    /// Whether requests are kept from the store.
    pub(super) fn is_open(&self) -> bool {
        self.threshold > 0 && self.failures.load(Ordering::Relaxed) >= self.threshold
    }

    /// Whether a request may ask. Of those that come when the pause is over, one may; if it is never heard of again,
    /// another may after another pause.
    pub(super) fn lets_pass(&self, now: u64) -> bool {
        if !self.is_open() {
            return true;
        }
        let until = self.closed_until.load(Ordering::Relaxed);
        let next = now.saturating_add(self.pause);
        now >= until
            && self
                .closed_until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// True if this failure was the one too many.
    pub(super) fn failed(&self, now: u64) -> bool {
        let update = |failures: u32| Some(failures.saturating_add(1));
        let before = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        let failures = before.unwrap_or(0).saturating_add(1);
        if self.threshold == 0 || failures < self.threshold {
            return false;
        }
        self.closed_until.store(now.saturating_add(self.pause), Ordering::Relaxed);
        failures == self.threshold
    }

    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_so_many_failures_in_a_row_one_request_in_each_pause_may_ask() {
        let breaker = Breaker::new(3, Duration::from_nanos(10));
        assert!(!breaker.failed(0));
        assert!(!breaker.failed(0));
        breaker.succeeded();
        assert!(!breaker.failed(1));
        assert!(!breaker.failed(1));
        assert!(breaker.lets_pass(1));
        assert!(breaker.failed(2), "the third in a row");
        assert!(!breaker.lets_pass(3));
        assert!(!breaker.lets_pass(11));
        assert!(breaker.lets_pass(12), "the pause is over");
        assert!(!breaker.lets_pass(12), "and one is enough");
        assert!(!breaker.failed(13), "which is no news");
        assert!(!breaker.lets_pass(22));
        assert!(breaker.lets_pass(23));
        breaker.succeeded();
        assert!((0..5).all(|_| breaker.lets_pass(23)));
    }

    #[test]
    fn a_request_that_is_never_heard_of_again_does_not_keep_the_breaker_open() {
        let breaker = Breaker::new(1, Duration::from_nanos(10));
        breaker.failed(0);
        assert!(breaker.lets_pass(10));
        assert!(!breaker.lets_pass(19));
        assert!(breaker.lets_pass(20));
    }

    #[test]
    fn without_a_threshold_everybody_asks() {
        let breaker = Breaker::new(0, Duration::from_secs(1));
        for now in 0..10 {
            assert!(!breaker.failed(now));
            assert!(breaker.lets_pass(now));
        }
    }
}
