use std::time::Duration;

use crate::fetch::BackOff;

/// The least time before an extra attempt, and between attempts that find their keys.
const PAUSE: Duration = Duration::from_secs(1);

/// After an extra attempt that found nothing, the next extra attempt is this many cool-downs away.
const EXTRA_EVERY: u32 = 10;

/// The longest back-off after failures, unless the cool-down is shorter.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Why a request needs a key that the set does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MissingKey {
    /// The set has no key with this id, of which this is a hash.
    Id(u64),
    /// A signature is not valid under the keys of the set. Far more often it is forged than signed with a newer key under
    /// the same id.
    Signature,
}

/// When the issuer may be asked. It reads no clock and knows nothing of requests.
///
/// Any client can make up key ids, so a fetch for a missing key that finds nothing starts a **cool-down**, counted from
/// the start of that fetch: a key that is published later is found by the first attempt after the cool-down, and so no
/// later than one cool-down after its publication. Nothing that a client sends makes the cool-down longer.
///
/// Within a cool-down there is one **extra attempt**, so that a single made-up id does not make a real key wait: it is for
/// the only other id that has come up since. Several other ids are a flood, in which nothing tells a real key apart.
///
/// A signature that is not valid never gets the extra attempt, and no attempt within a cool-down of one that has found its
/// key.
///
/// Failures start a back-off instead, which uses up no attempt.
#[derive(Debug)]
pub(super) struct Schedule {
    cool_down: Duration,
    /// When any missing key may cause a fetch.
    next: Duration,
    /// When a signature that is not valid may cause a fetch, unless `next` is later.
    next_for_signature: Duration,
    /// When the only other missing key may cause a fetch within a cool-down.
    next_extra: Duration,
    /// When the last attempt started that found its key.
    last_found: Option<Duration>,
    /// The key that the cool-down was started for.
    first: Option<MissingKey>,
    /// The other keys that were missing since.
    others: Others,
    back_off: BackOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    None,
    One(MissingKey),
    Several,
}

/// Whether the issuer may be asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Granted(Attempt),
    /// It was asked so recently that there is no such key.
    NoSuchKey,
    /// It has failed so recently that the answer is not known. Retry after this time.
    RetryAfter(Duration),
}

/// A fetch for a missing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// There were no keys yet, or they had expired.
    Load,
    Regular,
    /// Within a cool-down.
    Extra,
}

impl Schedule {
    pub(super) fn new(cool_down: Duration) -> Self {
        Self {
            cool_down,
            next: Duration::ZERO,
            next_for_signature: Duration::ZERO,
            next_extra: Duration::ZERO,
            last_found: None,
            first: None,
            others: Others::None,
            // No longer than the cool-down: a key that is published during an outage must not wait longer than that.
            back_off: BackOff::new(LONGEST_BACKOFF.min(cool_down)),
        }
    }

    /// Returns how long to wait before the issuer may be asked again after a failure.
    pub(super) fn backoff_left(&self, now: Duration) -> Option<Duration> {
        self.back_off.left(now)
    }

    /// Asks for permission to fetch the keys because this one is missing.
    pub(super) fn request_attempt(&mut self, key: MissingKey, now: Duration) -> Permission {
        if let Some(wait) = self.backoff_left(now) {
            return Permission::RetryAfter(wait);
        }
        let is_signature = key == MissingKey::Signature;
        if now >= self.next && (!is_signature || now >= self.next_for_signature) {
            return Permission::Granted(self.start_attempt(key, Kind::Regular));
        }
        if is_signature {
            return Permission::NoSuchKey;
        }
        self.record_missing(key);
        if self.others == Others::One(key) && self.first != Some(key) && now >= self.next_extra {
            Permission::Granted(Attempt { kind: Kind::Extra })
        } else {
            Permission::NoSuchKey
        }
    }

    /// Returns the attempt for a key that is needed while there are no keys to look in.
    pub(super) fn attempt_to_load(&mut self, key: MissingKey) -> Attempt {
        self.start_attempt(key, Kind::Load)
    }

    fn start_attempt(&mut self, key: MissingKey, kind: Kind) -> Attempt {
        self.first = Some(key);
        self.others = Others::None;
        Attempt { kind }
    }

    /// Records a missing key that waits for a fetch which another request has started.
    pub(super) fn record_missing(&mut self, key: MissingKey) {
        if self.first == Some(key) || key == MissingKey::Signature {
            return;
        }
        self.others = match self.others {
            Others::None => Others::One(key),
            Others::One(other) if other == key => Others::One(key),
            _ => Others::Several,
        };
    }

    /// Records that the issuer has answered.
    pub(super) fn record_success(&mut self) {
        self.back_off.record_success();
    }

    /// Records what a fetch for a missing key has found. `started` is when the fetch began.
    pub(super) fn record_attempt(&mut self, attempt: Attempt, found: bool, started: Duration) {
        let after_pause = started + PAUSE.min(self.cool_down);
        match (found, attempt.kind) {
            (true, Kind::Load) => {}
            // A key that was found was no forgery. But an issuer whose servers publish different sets must not be asked
            // for each token in turn.
            (true, Kind::Regular) => {
                if self.last_found.is_some_and(|last| started < last + PAUSE) {
                    self.next = after_pause;
                    self.next_extra = self.next_extra.max(after_pause);
                }
                self.last_found = Some(started);
                self.next_for_signature = started + self.cool_down;
            }
            (true, Kind::Extra) => {
                self.next_for_signature = started + self.cool_down;
                self.next_extra = after_pause;
                self.others = Others::None;
            }
            (false, Kind::Load | Kind::Regular) => {
                self.next = started + self.cool_down;
                self.next_extra = self.next_extra.max(after_pause);
            }
            (false, Kind::Extra) => {
                self.next = started + self.cool_down;
                self.next_extra = started + self.cool_down * EXTRA_EVERY;
            }
        }
    }

    /// Records that the issuer did not answer. Returns how long to leave it alone.
    pub(super) fn record_failure(&mut self, now: Duration) -> Duration {
        self.back_off.record_failure(now)
    }

    pub(super) fn failures_in_a_row(&self) -> u32 {
        self.back_off.failures_in_a_row()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn schedule() -> Schedule {
        Schedule::new(secs(30))
    }

    /// Asks for a key at a time, and returns whether a fetch was made, which found nothing.
    fn fetches(schedule: &mut Schedule, key: u64, now: Duration) -> bool {
        match schedule.request_attempt(MissingKey::Id(key), now) {
            Permission::Granted(attempt) => {
                schedule.record_success();
                schedule.record_attempt(attempt, false, now);
                true
            }
            Permission::NoSuchKey => false,
            Permission::RetryAfter(wait) => panic!("{wait:?}"),
        }
    }

    #[test]
    fn the_same_missing_key_is_fetched_once_per_cool_down() {
        let mut schedule = schedule();
        for round in 0..20 {
            assert!(fetches(&mut schedule, 1, secs(30 * round)), "{round}");
            for second in 0..30 {
                assert!(!fetches(&mut schedule, 1, secs(30 * round + second)), "{round} {second}");
            }
        }
    }

    #[test]
    fn a_flood_causes_one_fetch_per_cool_down() {
        let mut schedule = schedule();
        let mut fetched = 0;
        for millisecond in (0..300_000).step_by(100) {
            let now = Duration::from_millis(millisecond);
            fetched += u32::from(fetches(&mut schedule, millisecond, now));
        }
        assert_eq!(fetched, 10);
    }

    #[test]
    fn a_slow_flood_gets_one_extra_attempt() {
        let mut schedule = schedule();
        let fetched = (0..30).filter(|at| fetches(&mut schedule, *at, secs(at * 10))).count();
        assert_eq!(fetched, 11);
    }

    #[test]
    fn any_pattern_of_keys_gets_an_attempt_within_a_cool_down() {
        // Other keys are asked for at every combination of times; the published key must be found within a cool-down.
        for pattern in 0..1_u32 << 12 {
            let mut schedule = schedule();
            let mut last = None;
            for step in 0..12 {
                let now = secs(step * 7);
                if pattern & (1 << step) != 0 && fetches(&mut schedule, step % 3, now) {
                    last = Some(now);
                }
                let published = now + Duration::from_millis(1);
                let left = schedule.next.saturating_sub(published);
                assert!(left <= secs(30), "{pattern:b} {step} {last:?}");
            }
        }
    }

    #[test]
    fn unknown_key_id_leaves_an_extra_attempt_for_another() {
        let mut schedule = schedule();
        assert!(fetches(&mut schedule, 1, secs(0)));
        assert!(!fetches(&mut schedule, 2, Duration::from_millis(999)));
        assert!(!fetches(&mut schedule, 1, secs(1)));
        assert!(fetches(&mut schedule, 2, secs(1)));
        // The cool-down starts again, and the extra attempt is used up for ten of them.
        assert!(!fetches(&mut schedule, 2, secs(30)));
        for round in 0..9 {
            let now = secs(31 + 30 * round);
            assert!(fetches(&mut schedule, 1, now), "{round}");
            assert!(!fetches(&mut schedule, 3, now + secs(2)), "{round}");
        }
        assert!(fetches(&mut schedule, 1, secs(301)));
        assert!(fetches(&mut schedule, 3, secs(303)));
    }

    #[test]
    fn several_unknown_key_ids_leave_no_extra_attempt() {
        let mut schedule = schedule();
        assert!(fetches(&mut schedule, 1, secs(0)));
        for key in [2, 2, 3] {
            schedule.record_missing(MissingKey::Id(key));
        }
        for second in 1..30 {
            assert!(!fetches(&mut schedule, 2, secs(second)));
            assert!(!fetches(&mut schedule, 4, secs(second)));
        }
    }

    #[test]
    fn keys_that_are_found_start_no_cool_down() {
        let mut schedule = schedule();
        let find = |schedule: &mut Schedule, key, now| {
            let attempt = schedule.request_attempt(MissingKey::Id(key), now);
            let Permission::Granted(attempt) = attempt else {
                return false;
            };
            schedule.record_attempt(attempt, true, now);
            true
        };
        assert!(find(&mut schedule, 1, secs(0)));
        assert!(find(&mut schedule, 2, secs(0)));
        assert!(!find(&mut schedule, 3, secs(0)));
        assert!(find(&mut schedule, 3, secs(1)));
        // An extra attempt that finds its key is not used up.
        assert!(fetches(&mut schedule, 4, secs(10)));
        assert!(find(&mut schedule, 5, secs(11)));
        assert!(!find(&mut schedule, 6, secs(11)));
        assert!(find(&mut schedule, 6, secs(12)));
    }

    #[test]
    fn bad_signatures_leave_the_extra_attempt_for_key_ids() {
        let mut schedule = schedule();
        let attempt = schedule.request_attempt(MissingKey::Signature, secs(0));
        let Permission::Granted(attempt) = attempt else { panic!("{attempt:?}") };
        schedule.record_attempt(attempt, false, secs(0));
        schedule.record_missing(MissingKey::Signature);
        assert_eq!(schedule.request_attempt(MissingKey::Signature, secs(5)), Permission::NoSuchKey);
        assert!(fetches(&mut schedule, 1, secs(5)));
    }

    #[test]
    fn bad_signature_causes_no_fetch_soon_after_a_key_was_found() {
        let mut schedule = schedule();
        for (key, now) in [(1, 0), (2, 100)] {
            let attempt = schedule.request_attempt(MissingKey::Id(key), secs(now));
            let Permission::Granted(attempt) = attempt else { panic!("{attempt:?}") };
            schedule.record_attempt(attempt, true, secs(now));
            let mut signature = |now| schedule.request_attempt(MissingKey::Signature, secs(now));
            assert_eq!(signature(now + 29), Permission::NoSuchKey);
            assert!(matches!(signature(now + 30), Permission::Granted(_)));
        }
    }

    #[test]
    fn failed_fetch_costs_a_backoff_but_no_attempt() {
        let mut schedule = schedule();
        let key = MissingKey::Id(1);
        assert!(matches!(schedule.request_attempt(key, secs(100)), Permission::Granted(_)));
        let wait = schedule.record_failure(secs(100));
        assert!(wait <= secs(2));
        assert_eq!(schedule.request_attempt(key, secs(100)), Permission::RetryAfter(wait));
        assert_eq!(schedule.backoff_left(secs(100)), Some(wait));
        assert!(fetches(&mut schedule, 2, secs(102)));
        assert_eq!(schedule.failures_in_a_row(), 0);
    }

    #[test]
    fn the_backoff_is_never_longer_than_the_cool_down() {
        let mut schedule = schedule();
        for _ in 0..100 {
            assert!(schedule.record_failure(secs(10)) <= secs(30));
        }
        assert_eq!(schedule.failures_in_a_row(), 100);
        schedule.record_success();
        assert_eq!(schedule.backoff_left(secs(10)), None);
    }
}
