//! One attempt to charge a key. A request that waits makes several.

use std::sync::{Arc, atomic::Ordering};

use palisade_core::{ApiError, Decision};

use crate::{
    Admission, Key,
    counters::{self, Counter},
    limiter::Limiter,
    per_quota::PerQuota,
    quota_source::{Chosen, QuotaSource},
};

/// An attempt to charge a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) hash: u64,
    pub(crate) cost: u32,
    /// The request waits if it is rejected, so the rejection is not counted.
    pub(crate) may_wait: bool,
}

impl<K: Key> Limiter<K> {
    /// Charges a key if it fits. `digest` is called only for a store: computing it takes longer than the rest of the decision.
    #[inline]
    pub(crate) fn attempt(
        self: &Arc<Self>,
        attempt: Attempt,
        digest: impl Fn() -> [u8; 16],
        chosen: Option<Chosen>,
    ) -> Decision<Admission> {
        let limit = &**self;
        let Attempt { hash, cost, .. } = attempt;
        if let Some(blocked_for) = limit.blocks.blocked_for(hash, || limit.now()) {
            return limit.refuse_blocked(hash, blocked_for);
        }
        #[cfg(feature = "store")]
        if let Some(store) = &limit.store {
            if let Some(Err(error)) = chosen.as_ref().map(|chosen| store.supports(&chosen.quotas)) {
                return limit.badly_chosen(hash, error);
            }
            return self.decide_by_store(store, digest, attempt, chosen);
        }
        let _ = digest;
        match (&limit.quotas, chosen) {
            (QuotaSource::PerRequest(chooser), Some(chosen)) => {
                match chooser.tables.counters(&chosen.quotas) {
                    Ok(counters) => limit.count_chosen(attempt, chosen, &counters),
                    Err(error) => limit.badly_chosen(hash, error),
                }
            }
            (QuotaSource::PerRequest(_), None) => Decision::refuse(ApiError::internal()),
            (QuotaSource::Fixed(current), _) => {
                let set = current.get();
                if let ([counter], [quota]) = (&*set.counters, &*set.quotas)
                    && !limit.keeps_charges()
                    && limit.is_enforced(Some(hash))
                    && cost > 0
                    && let Some(standing) = counter.try_charge(hash, &*limit.settings.clock, cost)
                {
                    if standing.has_less_than(quota.limit().div_ceil(10)) {
                        limit.stats.near.fetch_add(1, Ordering::Relaxed);
                    }
                    let standing = PerQuota::one(standing);
                    return Decision::grant(Admission::standing_at(standing, set.generation));
                }
                match counters::charge(&set.counters, hash, limit.moment(), cost) {
                    Ok(charged) => {
                        limit.note_near(&set.quotas, charged.standings.as_slice());
                        let (counters, generation) = (&set.counters, set.generation);
                        Decision::grant(limit.admit(charged, counters, hash, cost, generation))
                    }
                    Err(refused) => limit.refuse(attempt, &set.quotas, &set.fields, &refused),
                }
            }
        }
    }
}

impl<K> Limiter<K> {
    /// Charges a request by the quotas that were chosen for it.
    pub(crate) fn count_chosen(
        &self,
        attempt: Attempt,
        chosen: Chosen,
        counters: &[Counter],
    ) -> Decision<Admission> {
        let (Attempt { hash, cost, .. }, Chosen { quotas, fields }) = (attempt, &chosen);
        match counters::charge(counters, hash, self.moment(), cost) {
            Ok(charged) => {
                self.note_near(quotas, charged.standings.as_slice());
                let mut admission = self.admit(charged, counters, hash, cost, 0);
                admission.extras_mut().chosen = Some(chosen);
                Decision::grant(admission)
            }
            Err(refused) => self.refuse(attempt, quotas, fields, &refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::request;
    use palisade_core::{Clock, Halt, ManualClock, Policy};

    use super::*;
    use crate::{Quota, RateLimit, by};

    /// A machine whose coarse clock is 4 ms late.
    struct Late(ManualClock);

    const LATE: Duration = Duration::from_millis(4);

    impl Clock for Late {
        fn unix(&self) -> Duration {
            self.0.unix()
        }

        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }

        fn monotonic_coarse(&self) -> Duration {
            self.0.monotonic().saturating_sub(LATE)
        }
    }

    fn limit(quota: Quota) -> (ManualClock, RateLimit<impl Key>) {
        let clock = ManualClock::default();
        // Both clocks are in the same window, the coarse one at its beginning.
        clock.advance(Duration::from_secs(100) + LATE);
        let all = by(|_: &request::Parts| Some(()));
        let limit = RateLimit::per_key(all, quota).clock(Arc::new(Late(clock.clone())));
        (clock, limit.build().unwrap())
    }

    /// Returns what is left of the quota, or `Retry-After` of the rejection.
    fn decide(limit: &RateLimit<impl Key>) -> Result<u32, String> {
        let (head, ()) = http::Request::new(()).into_parts();
        match limit.decide(&head) {
            Decision::Now(Ok(admission)) => Ok(admission.standings()[0].remaining()),
            Decision::Now(Err(Halt::Refuse(error))) => {
                Err(error.headers()["retry-after"].to_str().unwrap().to_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rejected_client_that_waits_is_admitted_by_the_exact_clock() {
        let second = Duration::from_secs(1);
        // The second limit is too large for the table with one word for each key.
        for limit_of_window in [2, 70_000] {
            let (clock, limit) = limit(Quota::per(limit_of_window, second).fixed_window());
            for left in (0..limit_of_window).rev() {
                assert_eq!(decide(&limit), Ok(left));
            }
            assert_eq!(decide(&limit), Err("1".to_owned()));
            clock.advance(second - LATE - Duration::from_nanos(1));
            assert!(decide(&limit).is_err());
            clock.advance(Duration::from_nanos(1));
            assert_eq!(decide(&limit), Ok(limit_of_window - 1));
        }
    }

    #[test]
    fn request_counts_as_if_it_had_come_at_the_coarse_time() {
        let (clock, limit) = limit(Quota::per(2, Duration::from_secs(1)).fixed_window());
        assert_eq!(decide(&limit), Ok(1));
        clock.advance(Duration::from_secs(1) - Duration::from_nanos(1));
        assert_eq!(decide(&limit), Ok(0), "the coarse clock is still in the window before");
        assert_eq!(decide(&limit), Ok(1), "it would reject, so the exact clock decides");
        assert_eq!(decide(&limit), Ok(0));
        assert!(decide(&limit).is_err());
    }

    #[test]
    fn new_key_is_charged_at_the_coarse_time() {
        let (clock, limit) = limit(Quota::per(2, Duration::from_secs(1)).fixed_window());
        clock.advance(Duration::from_secs(1) - Duration::from_nanos(1));
        assert_eq!(decide(&limit), Ok(1), "the coarse clock is still in the window before");
        clock.advance(Duration::from_nanos(1));
        assert_eq!(decide(&limit), Ok(1), "a new window of both clocks");
    }

    #[test]
    fn short_and_strict_windows_are_decided_by_the_exact_clock() {
        let (short, long) = (Duration::from_millis(500), Duration::from_secs(8));
        for (quota, expires) in [
            (Quota::per(2, short).fixed_window(), short),
            (Quota::per(2, long).strict(), long + long / 8),
        ] {
            let (clock, limit) = limit(quota);
            assert_eq!(decide(&limit), Ok(1));
            clock.advance(expires);
            assert_eq!(decide(&limit), Ok(1));
        }
    }
}
