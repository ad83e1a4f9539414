use std::time::Duration;

use super::{absent::AbsentIds, backoff};

/// When the issuer may be asked again. It knows nothing of requests and does not read the clock.
#[derive(Debug)]
pub(super) struct Schedule {
    cool_down: Duration,
    failures_in_a_row: u32,
    not_before: Duration,
    next_unknown_id: Duration,
    absent: AbsentIds,
}

/// Whether the issuer may be asked for a key id that is not in the set.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// It may; and not for another id until the cool-down is over.
    Go,
    /// It was asked so recently that the answer would be the same: there is no such key.
    NoSuchKey,
    /// It did not answer of late, so nobody can tell. Try again after this.
    CannotTell(Duration),
}

impl Schedule {
    pub(super) fn new(cool_down: Duration, longest_absence: Duration) -> Self {
        Self {
            cool_down,
            failures_in_a_row: 0,
            not_before: Duration::ZERO,
            next_unknown_id: Duration::ZERO,
            absent: AbsentIds::new(cool_down, longest_absence),
        }
    }

    /// How long to wait before the issuer may be asked for keys when there are none.
    pub(super) fn wait_before_load(&self, now: Duration) -> Option<Duration> {
        self.not_before.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// True if this id was asked for of late, and was not there.
    pub(super) fn is_absent(&self, id: &str, now: Duration) -> bool {
        self.absent.contains(id, now)
    }

    /// Whether to ask for an id that is not in the set. One cool-down has one try, whoever asks.
    pub(super) fn ask_for_unknown_id(&mut self, now: Duration) -> Ask {
        let wait = self.next_unknown_id.max(self.not_before).saturating_sub(now);
        if wait.is_zero() {
            self.next_unknown_id = now + self.cool_down;
            Ask::Go
        } else if self.failures_in_a_row > 0 {
            Ask::CannotTell(wait)
        } else {
            Ask::NoSuchKey
        }
    }

    /// The issuer was asked after this id came up, and does not have it.
    pub(super) fn note_absent(&mut self, id: &str, now: Duration) {
        self.absent.note(id, now);
    }

    /// It answered.
    pub(super) fn succeeded(&mut self) {
        self.failures_in_a_row = 0;
        self.not_before = Duration::ZERO;
    }

    /// It did not, and is left alone for as long as this says.
    pub(super) fn failed(&mut self, now: Duration) -> Duration {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let wait = backoff::after(self.failures_in_a_row);
        self.not_before = now + wait;
        wait
    }

    pub(super) fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn one_cool_down_has_one_try_for_unknown_ids() {
        let mut schedule = Schedule::new(secs(30), secs(600));
        assert_eq!(schedule.ask_for_unknown_id(secs(100)), Ask::Go);
        assert_eq!(schedule.ask_for_unknown_id(secs(100)), Ask::NoSuchKey);
        assert_eq!(schedule.ask_for_unknown_id(secs(129)), Ask::NoSuchKey);
        assert_eq!(schedule.ask_for_unknown_id(secs(130)), Ask::Go);
    }

    #[test]
    fn nobody_is_told_that_there_is_no_such_key_while_the_issuer_fails() {
        let mut schedule = Schedule::new(secs(30), secs(600));
        assert_eq!(schedule.ask_for_unknown_id(secs(100)), Ask::Go);
        schedule.failed(secs(101));
        assert_eq!(schedule.ask_for_unknown_id(secs(110)), Ask::CannotTell(secs(20)));
        assert_eq!(schedule.ask_for_unknown_id(secs(130)), Ask::Go);
        schedule.succeeded();
        assert_eq!(schedule.ask_for_unknown_id(secs(131)), Ask::NoSuchKey);
    }

    #[test]
    fn a_failing_issuer_is_left_alone_longer_and_longer_until_it_answers() {
        let mut schedule = Schedule::new(secs(30), secs(600));
        assert_eq!(schedule.wait_before_load(secs(0)), None);
        for least in [1, 2, 4, 8] {
            let wait = schedule.failed(secs(10));
            assert!(wait >= secs(least));
            assert_eq!(schedule.wait_before_load(secs(10)), Some(wait));
            assert_eq!(schedule.wait_before_load(secs(10) + wait), None);
        }
        schedule.succeeded();
        assert_eq!(schedule.wait_before_load(secs(10)), None);
        assert_eq!(schedule.failures_in_a_row(), 0);
    }
}
