use std::time::Duration;

use crate::fetch::{BackOff, pause};

/// The longest time for which an issuer is left alone, and the longest that it takes to notice that it answers again.
const LONGEST: Duration = Duration::from_secs(30);

/// The longest pause before a question about the same token, after a failure that says nothing about the issuer.
const PAUSE_FOR_TOKEN: Duration = Duration::from_secs(2);

/// Whether the issuer answers. `P` is the handle of a question in progress.
///
/// A failure is one of the issuer, and starts a back-off for all tokens, unless
/// - another question was answered since the failed one was asked,
/// - or the answer shows that the token may be the reason.
///
/// Any client can make up tokens, and some issuers do not answer about some of them. Such a token must not keep the others
/// from being verified.
pub(super) struct Outage<P> {
    back_off: BackOff,
    /// The number of answers.
    answers: u64,
    /// The question that finds out whether the outage is over.
    probe: Option<P>,
}

/// What was known of the issuer when a question was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    answers: u64,
    failures_in_a_row: u32,
}

impl<P: Clone> Outage<P> {
    /// Returns the question that the others wait for.
    pub(super) fn probe(&self) -> Option<&P> {
        self.probe.as_ref()
    }

    /// Records a question in progress.
    pub(super) fn record_question(&mut self, question: &P) {
        if self.is_failing() {
            self.probe = Some(question.clone());
        }
    }
}

impl<P> Outage<P> {
    pub(super) fn new() -> Self {
        Self { back_off: BackOff::new(LONGEST), answers: 0, probe: None }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.back_off.failures_in_a_row() > 0
    }

    /// Returns how long to leave the issuer alone.
    pub(super) fn left(&self, now: Duration) -> Option<Duration> {
        self.back_off.left(now)
    }

    pub(super) fn next_question(&self) -> Asked {
        let failures_in_a_row = self.back_off.failures_in_a_row();
        Asked { answers: self.answers, failures_in_a_row }
    }

    pub(super) fn record_answer(&mut self) {
        self.answers += 1;
        self.back_off.record_success();
        self.probe = None;
    }

    /// Records a question that was not answered. Returns when to ask again.
    pub(super) fn record_failure(
        &mut self,
        asked: Asked,
        may_be_due_to_token: bool,
        now: Duration,
    ) -> Duration {
        let is_current = asked.failures_in_a_row == self.back_off.failures_in_a_row();
        if self.is_failing() && is_current {
            self.probe = None;
        }
        if may_be_due_to_token || asked.answers != self.answers {
            return pause(1, PAUSE_FOR_TOKEN);
        }
        // Questions that were asked together fail together, and are one failure.
        match self.left(now) {
            Some(left) if !is_current => left,
            _ => self.back_off.record_failure(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn outage() -> Outage<&'static str> {
        Outage::new()
    }

    #[test]
    fn failure_starts_one_backoff() {
        let mut outage = outage();
        let asked = outage.next_question();
        let wait = outage.record_failure(asked, false, secs(10));
        assert!((secs(1)..=secs(2)).contains(&wait), "{wait:?}");
        assert_eq!(outage.left(secs(10)), Some(wait));
        assert_eq!(outage.left(secs(12)), None);
        assert!(outage.is_failing());
        outage.record_answer();
        assert!(!outage.is_failing());
        assert_eq!(outage.left(secs(10)), None);
    }

    #[test]
    fn concurrent_failures_count_once() {
        let mut outage = outage();
        let asked: Vec<_> = (0..500).map(|_| outage.next_question()).collect();
        for asked in asked {
            assert!(outage.record_failure(asked, false, secs(10)) <= secs(2));
        }
        for round in 0..20 {
            let asked = outage.next_question();
            assert!(outage.record_failure(asked, false, secs(100 * round)) <= LONGEST);
        }
    }

    #[test]
    fn failure_during_successes_starts_no_outage() {
        let mut outage = outage();
        let asked = outage.next_question();
        outage.record_answer();
        assert!(outage.record_failure(asked, false, secs(10)) <= secs(2));
        assert!(!outage.is_failing());
        let asked = outage.next_question();
        outage.record_failure(asked, true, secs(10));
        assert!(!outage.is_failing(), "the token may be the reason");
        let asked = outage.next_question();
        outage.record_failure(asked, false, secs(10));
        assert!(outage.is_failing());
    }

    #[test]
    fn a_probe_is_shared_during_an_outage() {
        let mut outage = outage();
        outage.record_question(&"before");
        assert_eq!(outage.probe(), None);
        let asked = outage.next_question();
        outage.record_failure(asked, false, secs(0));
        for end in ["answered", "failed", "failed for the token"] {
            let asked = outage.next_question();
            outage.record_question(&end);
            assert_eq!(outage.probe(), Some(&end));
            match end {
                "answered" => {
                    outage.record_answer();
                    assert_eq!(outage.probe(), None);
                    let asked = outage.next_question();
                    outage.record_failure(asked, false, secs(0));
                }
                _ => drop(outage.record_failure(asked, end != "failed", secs(0))),
            }
            assert_eq!(outage.probe(), None, "{end}");
            assert!(outage.is_failing());
        }
    }
}
