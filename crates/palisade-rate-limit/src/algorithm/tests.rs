//! Properties of all algorithms on random histories, and comparisons with oracles that store every request.

use std::{num::NonZeroU32, time::Duration};

use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;
use crate::Standing;

/// Few ticks to a window, so that every moment of the next windows can be looked at.
const SHORTEST: u64 = 8;
const LONGEST: u64 = 40;

const KINDS: [fn(Quota) -> Quota; 6] = [
    Quota::sliding_window,
    Quota::fixed_window,
    Quota::strict,
    Quota::gcra,
    |quota| quota.gcra_with_burst(2),
    Quota::exact_log,
];

fn meter(kind: fn(Quota) -> Quota, limit: u32, window: u64) -> AnyMeter {
    AnyMeter::new(&kind(Quota::per(limit, Duration::from_nanos(window)))).unwrap()
}

fn admitted(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Admitted { .. })
}

/// A key of one meter, at some time.
#[derive(Clone, Debug)]
struct Key {
    meter: AnyMeter,
    words: Vec<u64>,
    now: u64,
}

/// Requests: how long after the one before, and what it costs.
type Trace = Vec<(u64, u32)>;

impl Key {
    fn new(meter: AnyMeter) -> Self {
        Self { meter, words: vec![0; meter.words()], now: 0 }
    }

    /// The history that a trace leaves.
    fn after(mut self, trace: &Trace) -> Self {
        for (step, cost) in trace {
            self.now += step;
            self.charge(*cost);
        }
        self
    }

    fn charge(&mut self, cost: u32) -> Outcome {
        self.meter.charge(&mut self.words, self.now, cost)
    }

    /// Returns the outcome of a later request.
    fn outcome(&self, later: u64, cost: u32) -> Outcome {
        let mut key = Self { now: self.now + later, ..self.clone() };
        key.charge(cost)
    }

    fn admits(&self, later: u64, cost: u32) -> bool {
        admitted(self.outcome(later, cost))
    }

    fn standing(&self, later: u64) -> Standing {
        match self.outcome(later, 0) {
            Outcome::Admitted { standing, .. } | Outcome::Refused { standing, .. } => standing,
        }
    }

    /// The standings of the key at every moment until its counts expire.
    fn meaning(&self) -> Vec<(Standing, u128)> {
        let later =
            |later| (self.standing(later), self.meter.weight(&self.words, self.now + later));
        (0..=3 * LONGEST).map(later).collect()
    }

    /// How much is left at every moment.
    fn remaining(&self) -> Vec<u32> {
        self.meaning().iter().map(|(standing, _)| standing.remaining()).collect()
    }

    /// The most that fits at once.
    fn capacity(&self) -> u32 {
        Self::new(self.meter).standing(0).remaining()
    }
}

fn traces() -> impl Strategy<Value = Trace> {
    // Bursts, and pauses up to a window's length and a half.
    let step = prop_oneof![3 => Just(0), 3 => 0..4u64, 2 => 0..LONGEST * 3 / 2];
    prop::collection::vec((step, 0..4u32), 0..24)
}

prop_compose! {
    /// A key of any kind with any history. Its limit may have been another while it came about: a tier that was lowered
    /// leaves more than the limit.
    fn keys()(
        kind in 0..KINDS.len(), limit in 0..8u32, before in 0..8u32, window in SHORTEST..LONGEST,
        trace in traces(), pause in 0..LONGEST,
    ) -> Key {
        let kind = KINDS[kind];
        let now = meter(kind, limit, window);
        // A log is as long as its limit, and those of other limits are in other tables.
        let then = if matches!(now, AnyMeter::ExactLog(_)) { now } else { meter(kind, before, window) };
        let mut key = Key { meter: then, ..Key::new(now) }.after(&trace);
        key.meter = now;
        key.now += pause;
        key
    }
}

proptest! {
    #[test]
    fn wait_is_exact_to_the_nanosecond(key in keys()) {
        for cost in 0..=key.capacity() + 2 {
            match key.outcome(0, cost) {
                Outcome::Admitted { at, .. } => prop_assert_eq!(at, key.now),
                Outcome::Refused { wait: Some(wait), .. } => {
                    prop_assert!(wait > 0 && cost <= key.capacity());
                    prop_assert!(key.admits(wait, cost), "cost {} after {}", cost, wait);
                    prop_assert!(!key.admits(wait - 1, cost), "cost {} before {}", cost, wait);
                }
                Outcome::Refused { wait: None, .. } => {
                    prop_assert!(cost > key.capacity());
                    prop_assert!((0..3 * LONGEST).all(|later| !key.admits(later, cost)));
                }
            }
        }
    }

    #[test]
    fn remaining_is_the_largest_cost_that_fits(key in keys()) {
        let remaining = key.standing(0).remaining();
        for cost in 1..=key.capacity() + 2 {
            prop_assert_eq!(key.admits(0, cost), cost <= remaining, "{} of {}", cost, remaining);
            let (expected, said) = match key.outcome(0, cost) {
                Outcome::Admitted { standing, .. } => (remaining - cost, standing),
                Outcome::Refused { standing, .. } => (remaining, standing),
            };
            prop_assert_eq!(said.remaining(), expected);
        }
    }

    #[test]
    fn remaining_grows_exactly_at_the_reported_time(key in keys()) {
        let standing = key.standing(0);
        let at = |later| key.standing(later).remaining();
        match standing.more_in_nanos() {
            Some(more_in) => {
                prop_assert!(at(more_in) > standing.remaining());
                prop_assert!((0..more_in).all(|later| at(later) == standing.remaining()));
            }
            None => prop_assert!((0..3 * LONGEST).all(|later| at(later) == standing.remaining())),
        }
    }

    #[test]
    fn rejections_and_peeks_change_no_state(key in keys()) {
        let before = key.meaning();
        for cost in 0..=key.capacity() + 2 {
            if cost == 0 || !key.admits(0, cost) {
                let mut asked = key.clone();
                asked.charge(cost);
                prop_assert_eq!(asked.meaning(), before.clone(), "cost {}", cost);
            }
        }
    }

    #[test]
    fn immediate_refund_undoes_the_charge(key in keys(), cost in 1..4u32) {
        let mut charged = key.clone();
        if let Outcome::Admitted { at, .. } = charged.charge(cost) {
            charged.meter.refund(&mut charged.words, charged.now, at, cost);
            prop_assert_eq!(charged.meaning(), key.meaning());
        }
    }

    /// What is given back late is at most what still counts: no other request's share of the quota with it.
    #[test]
    fn late_refund_restores_no_charge_of_other_requests(
        key in keys(), cost in 1..4u32, meanwhile in traces(), pause in 0..LONGEST,
    ) {
        let (mut with, mut without) = (key.clone(), key);
        let Outcome::Admitted { at, .. } = with.charge(cost) else { return Ok(()) };
        for (step, cost) in meanwhile {
            with.now += step;
            without.now += step;
            // The same requests pass in both.
            if admitted(with.charge(cost)) {
                prop_assert!(admitted(without.charge(cost)));
            }
        }
        with.now += pause;
        without.now += pause;
        let mut refunded = with.clone();
        refunded.meter.refund(&mut refunded.words, with.now, at, cost);
        let left = with.remaining().into_iter().zip(refunded.remaining()).zip(without.remaining());
        for ((with, refunded), without) in left {
            prop_assert!(with <= refunded && refunded <= without, "{with} {refunded} {without}");
        }
    }

    #[test]
    fn refund_of_an_uncharged_amount_never_exceeds_capacity(
        key in keys(), ago in 0..3 * LONGEST, amount in any::<u32>(),
    ) {
        let mut key = key;
        let charged_at = key.now.saturating_sub(ago);
        // GCRA keeps no times of single requests: there, all may be gone, and no more.
        key.meter.refund(&mut key.words, key.now, charged_at, amount);
        prop_assert!(key.remaining().into_iter().all(|remaining| remaining <= key.capacity()));
    }

    /// What a table does with a key that is evicted and comes back later, at any time in between.
    #[test]
    fn restored_history_never_weighs_less(
        key in keys(), kept in 0..2 * LONGEST, other in any::<bool>(),
    ) {
        let epoch = key.meter.epoch().get();
        let used = key.meter.used(&key.words, key.now);
        let mut back = Key { now: key.now + kept, ..Key::new(key.meter) };
        let at = match back.now / epoch - key.now / epoch {
            0 => back.now,
            1 => (back.now / epoch * epoch).saturating_sub(1),
            _ => {
                let later = key.outcome(kept, key.capacity());
                prop_assert!(used > key.capacity() || admitted(later), "nothing counts any more");
                return Ok(());
            }
        };
        // The previous epoch is older than what is added in the current one.
        if other {
            back.meter.add(&mut back.words, at.saturating_sub(1), 0);
        }
        back.meter.add(&mut back.words, at, used);
        for later in 0..=3 * LONGEST {
            let (restored, real) = (back.standing(later), key.standing(kept + later));
            prop_assert!(restored.remaining() <= real.remaining(), "{restored:?} {real:?}");
        }
    }

    #[test]
    fn history_without_weight_can_be_dropped(key in keys()) {
        if key.meter.weight(&key.words, key.now) == 0 {
            let forgotten = Key { words: vec![0; key.words.len()], ..key.clone() };
            prop_assert_eq!(key.remaining(), forgotten.remaining());
        }
    }

    #[test]
    fn limit_of_zero_admits_no_request(kind in 0..KINDS.len(), cost in 1u32.., now in any::<u32>()) {
        let mut key = Key { now: now.into(), ..Key::new(meter(KINDS[kind], 0, SHORTEST)) };
        let outcome = key.charge(cost);
        let never = matches!(outcome, Outcome::Refused { wait: None, .. });
        prop_assert!(never, "{outcome:?}");
    }

    #[test]
    fn strict_never_exceeds_its_limit_in_any_window(
        limit in 0..8u32, window in SHORTEST..LONGEST, trace in traces(),
    ) {
        let mut key = Key::new(meter(Quota::strict, limit, window));
        let mut log = Log::default();
        for (step, cost) in trace {
            key.now += step;
            if admitted(key.charge(cost)) {
                log.0.push((key.now, cost));
                prop_assert!(log.last(window, key.now) <= limit);
            }
        }
    }

    #[test]
    fn exact_log_equals_a_log_of_all_requests(limit in 0..8u32, window in SHORTEST..LONGEST, trace in traces()) {
        let mut key = Key::new(meter(Quota::exact_log, limit, window));
        let mut log = Log::default();
        for (step, cost) in trace {
            key.now += step;
            let fits = log.last(window, key.now) + cost <= limit;
            prop_assert_eq!(admitted(key.charge(cost)), fits);
            if fits {
                log.0.push((key.now, cost));
            }
        }
    }

    #[test]
    fn gcra_agrees_with_its_formula_and_the_governor_crate(
        limit in 1..8u32, burst in 1..8u32, window in SHORTEST..LONGEST, trace in traces(),
    ) {
        let quota = Quota::per(limit, Duration::from_nanos(window)).gcra_with_burst(burst);
        let mut key = Key::new(AnyMeter::new(&quota).unwrap());
        let interval = window.div_ceil(limit.into());
        let most = NonZeroU32::new(burst).unwrap();
        let quota = governor::Quota::with_period(Duration::from_nanos(interval)).unwrap();
        let clock = FakeRelativeClock::default();
        let peer = governor::RateLimiter::direct_with_clock(quota.allow_burst(most), clock.clone());

        // T = W / L, tat' = max(tat, now) + n T, admit iff now >= tat' - B T
        let mut arrival = 0_u64;
        for (step, cost) in trace {
            key.now += step;
            clock.advance(Duration::from_nanos(step));
            let next = arrival.max(key.now) + u64::from(cost) * interval;
            let allowed_at = next.saturating_sub(u64::from(burst) * interval);
            let fits = key.now >= allowed_at;
            match key.charge(cost) {
                Outcome::Admitted { standing, .. } => {
                    prop_assert!(fits);
                    arrival = if cost == 0 { arrival } else { next };
                    let left = u64::from(burst) * interval - arrival.saturating_sub(key.now);
                    prop_assert_eq!(u64::from(standing.remaining()), left / interval);
                }
                Outcome::Refused { wait, .. } => {
                    prop_assert!(!fits);
                    prop_assert_eq!(wait, (cost <= burst).then(|| allowed_at - key.now));
                }
            }
            if let Some(cost) = NonZeroU32::new(cost) {
                prop_assert_eq!(matches!(peer.check_n(cost), Ok(Ok(()))), fits);
            }
        }
    }

    /// The largest limit, the longest window, and any cost.
    #[test]
    fn large_numbers_never_overflow(
        kind in 0..KINDS.len(),
        limit in prop_oneof![Just(u32::MAX), any::<u32>()],
        window in prop_oneof![Just(u64::MAX / 4), 1 << 32..u64::MAX / 4],
        trace in prop::collection::vec((0..u64::MAX / 64, any::<u32>()), 1..16),
    ) {
        let limit = if kind == 5 { limit % 1000 } else { limit };
        let quota = KINDS[kind](Quota::per(limit, Duration::from_nanos(window)));
        // A burst that takes longer than can be counted is no configuration.
        let Ok(meter) = AnyMeter::new(&quota) else { return Ok(()) };
        let mut key = Key::new(meter);
        for (step, cost) in trace {
            key.now += step;
            let remaining = key.standing(0).remaining();
            match key.charge(cost) {
                Outcome::Admitted { .. } => prop_assert!(cost <= remaining),
                Outcome::Refused { wait: Some(wait), .. } => {
                    prop_assert!(cost > remaining && key.admits(wait, cost));
                    prop_assert!(!key.admits(wait - 1, cost));
                }
                Outcome::Refused { wait: None, .. } => prop_assert!(cost > remaining),
            }
        }
    }
}

/// Every request that was admitted.
#[derive(Default)]
struct Log(Trace);

impl Log {
    /// What came within the last window's length: a request no longer counts when a whole one has passed since.
    fn last(&self, window: u64, now: u64) -> u32 {
        let counts = |(at, _): &&(u64, u32)| at + window > now;
        self.0.iter().filter(counts).map(|(_, cost)| cost).sum()
    }
}

#[test]
fn refund_of_a_slow_request_keeps_later_charges() {
    // One a minute, and the first request takes two.
    let mut key = Key::new(meter(Quota::gcra, 1, 60));
    assert!(key.admits(0, 1));
    key.charge(1);
    key.now = 120;
    key.charge(1);
    assert!(!key.admits(0, 1));
    key.meter.refund(&mut key.words, 120, 0, 1);
    assert!(!key.admits(59, 1), "the second request still counts");
    assert!(key.admits(60, 1));
}

#[test]
fn quota_without_exact_arithmetic_is_a_config_error() {
    let setting = |quota: Quota| AnyMeter::new(&quota).unwrap_err().setting();
    let nanos = Duration::from_nanos;
    assert_eq!(setting(Quota::per(1, nanos(7)).strict()), "window");
    assert_eq!(setting(Quota::per(1001, nanos(7)).exact_log()), "limit");
    assert_eq!(setting(Quota::per(8, nanos(7)).gcra()), "limit");
    assert_eq!(setting(Quota::per(1, nanos(u64::MAX / 4)).gcra_with_burst(2)), "burst");
    for kind in KINDS {
        assert_eq!(setting(kind(Quota::per(1, Duration::ZERO))), "window");
    }
}
