use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_secs(2);

/// Failures of an issuer, and when it may be asked again.
#[derive(Debug)]
pub(crate) struct BackOff {
    /// The longest pause.
    longest: Duration,
    failures_in_a_row: u32,
    retry_at: Duration,
}

impl BackOff {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, failures_in_a_row: 0, retry_at: Duration::ZERO }
    }

    /// Returns how long to wait before the issuer may be asked again after a failure.
    pub(crate) fn left(&self, now: Duration) -> Option<Duration> {
        self.retry_at.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// Records that the issuer has answered.
    pub(crate) fn record_success(&mut self) {
        self.failures_in_a_row = 0;
        self.retry_at = Duration::ZERO;
    }

    /// Records that the issuer did not answer. Returns the pause before the next attempt. A failure long after the last one
    /// starts a new series.
    pub(crate) fn record_failure(&mut self, now: Duration) -> Duration {
        if now > self.retry_at + self.longest {
            self.failures_in_a_row = 0;
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let wait = pause(self.failures_in_a_row, self.longest);
        self.retry_at = now + wait;
        wait
    }

    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }
}

/// Returns how long to leave an issuer alone after this many failures in a row: between 1 and 2 s after the first, then
/// twice as long each time, up to `longest`.
///
/// Half of each pause is random, so that a fleet that lost its issuer at one moment does not return at one moment.
pub(crate) fn pause(failures: u32, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let pause = (FIRST * (1 << doublings)).min(longest);
    let half = pause / 2;
    half + half.mul_f64(random_fraction())
}

/// Returns a number from 0 to 1. The standard library seeds its hash tables differently in each process and at each
/// call; a better generator is not needed, because an attacker gains nothing from predicting a pause.
fn random_fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from((bits >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn backoff_doubles_up_to_its_maximum() {
        for (failures, least, most) in [
            (1, 1, 2),
            (2, 2, 4),
            (3, 4, 8),
            (5, 16, 32),
            (6, 30, 60),
            (7, 30, 60),
            (u32::MAX, 30, 60),
        ] {
            for _ in 0..100 {
                let pause = pause(failures, MINUTE);
                assert!(pause >= Duration::from_secs(least), "{failures}: {pause:?}");
                assert!(pause <= Duration::from_secs(most), "{failures}: {pause:?}");
            }
        }
        assert!(pause(9, Duration::from_secs(1)) <= Duration::from_secs(1));
    }

    #[test]
    fn failure_after_a_long_pause_restarts_the_backoff() {
        let mut back_off = BackOff::new(MINUTE);
        for _ in 0..10 {
            back_off.record_failure(MINUTE);
        }
        assert!(back_off.record_failure(2 * MINUTE) >= MINUTE / 2);
        assert!(back_off.record_failure(6 * MINUTE) <= FIRST);
        assert_eq!(back_off.failures_in_a_row(), 1);
    }

    #[test]
    fn backoff_pauses_have_jitter() {
        let pauses: std::collections::HashSet<_> = (0..100).map(|_| pause(6, MINUTE)).collect();
        assert!(pauses.len() > 50);
    }
}
