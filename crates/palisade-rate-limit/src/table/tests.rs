use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
};

use proptest::prelude::*;

use super::{placement::buckets_of, *};
use crate::algorithm::window::{Counts, Moment, Window};

const MILLI: u64 = 1_000_000;
const W: u64 = 60_000 * MILLI;

/// A table of either kind, which counts in a sliding window.
#[derive(Debug)]
struct Subject {
    table: Table,
    slots: u64,
}

fn tables(keys: usize, limit: u32) -> [Subject; 2] {
    let narrow = Table::Narrow(Narrow::for_keys(keys, limit).unwrap());
    let meter = AnyMeter::Window(per_window(limit));
    let wide = Table::wide(keys, &meter, 2, limit).unwrap();
    [Subject { table: narrow, slots: 7 }, Subject { table: wide, slots: 8 }]
}

impl Subject {
    /// All that is remembered.
    fn contents(&self) -> String {
        match &self.table {
            Table::Narrow(table) => table.contents(),
            Table::Wide(table) => format!("{:?}", table.contents()),
        }
    }

    /// Decides as a limit does: by the path for requests that fit, then by the path for all outcomes.
    fn charge(&self, window: &Window, key: u64, now: u64, cost: u32) -> Outcome {
        if cost > 0
            && let Some(standing) = self.table.try_charge(window, key, now, cost)
        {
            return Outcome::Admitted { standing, at: now };
        }
        self.table.charge(&AnyMeter::Window(*window), key, now, cost)
    }
}

fn per_window(limit: u32) -> Window {
    Window::sliding(limit, NonZeroU64::new(W).unwrap())
}

/// The hash of the `n`th key (SplitMix64): as even as a keyed hash, and the same in every run.
fn hash(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

fn admitted(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Admitted { .. })
}

/// Counts every key by itself and forgets none.
#[derive(Default)]
struct Exact(HashMap<u64, Counts>);

impl Exact {
    fn state(&self, window: &Window, key: u64, now: u64) -> (Counts, Moment) {
        let counts = self.0.get(&key).copied().unwrap_or_default();
        let at = window.no_earlier_than(window.moment(now), counts.index);
        (window.roll(counts, at.index), at)
    }

    fn admits(&self, window: &Window, key: u64, now: u64) -> bool {
        let (counts, at) = self.state(window, key, now);
        window.admits(counts, at, 1)
    }

    fn record(&mut self, window: &Window, key: u64, now: u64) {
        let (counts, _) = self.state(window, key, now);
        self.0.insert(key, Counts { current: counts.current + 1, ..counts });
    }
}

#[test]
fn bytes_per_key_are_as_documented() {
    let keys = 2_000_000;
    let bytes = |quota: crate::Quota| {
        let table = Table::for_keys(keys, &AnyMeter::new(&quota).unwrap()).unwrap();
        (table.bytes() as f64 / keys as f64).round() as u32
    };
    let minute = std::time::Duration::from_secs(60);
    assert_eq!(bytes(crate::Quota::per(65_534, minute)), 32);
    assert_eq!(bytes(crate::Quota::per(65_535, minute)), 48);
    assert_eq!(bytes(crate::Quota::per(10, minute).gcra()), 37);
    assert_eq!(bytes(crate::Quota::per(10, minute).strict()), 91);
    assert_eq!(bytes(crate::Quota::per(5, minute).exact_log()), 80);
}

#[test]
fn capacity_of_zero_or_over_memory_is_an_error() {
    let quota = crate::Quota::per(1, std::time::Duration::from_secs(1));
    for quota in [quota.clone(), quota.strict()] {
        for keys in [0, usize::MAX] {
            let error = Table::for_keys(keys, &AnyMeter::new(&quota).unwrap()).unwrap_err();
            let error = error.to_string();
            assert!(
                error.starts_with(&format!("capacity `{keys}` is not valid: choose ")),
                "{error}"
            );
        }
    }
}

#[test]
fn every_key_has_two_different_buckets() {
    for count in [2, 3, 13, 100] {
        for n in 0..1000 {
            let (home, spare) = buckets_of(hash(n), count);
            assert_ne!(home, spare);
            assert!(home.max(spare) < count);
        }
    }
}

#[test]
fn table_at_its_capacity_counts_each_key_separately() {
    for table in tables(60_000, 10) {
        let window = per_window(10);
        let fresh = |n: &u64| match table.charge(&window, hash(*n), 0, 1) {
            Outcome::Admitted { standing, .. } => standing.remaining() == 9,
            Outcome::Refused { .. } => false,
        };
        let crowded_out = 60_000 - (0..60_000).filter(fresh).count();
        assert!(
            crowded_out < 6,
            "{crowded_out} of {} keys began with less than their quota",
            table.slots
        );
    }
}

#[test]
fn flood_resets_no_exhausted_key_and_allocates_no_memory() {
    let capacity = 1200;
    for table in tables(capacity, 100) {
        let window = per_window(100);
        let bytes = table.table.bytes();
        let used_up = 0..100;
        for key in used_up.clone() {
            assert!((0..100).all(|_| admitted(table.charge(&window, hash(key), 0, 1))));
        }
        let mut refused = 0;
        for (sent, key) in (1_000_000..).take(10 * capacity).enumerate() {
            refused += u64::from(!admitted(table.charge(&window, hash(key), 1, 1)));
            if sent % 100 == 0 {
                let key = sent as u64 / 100 % 100;
                assert!(!admitted(table.charge(&window, hash(key), 1, 1)), "key {key} was reset");
            }
        }
        assert!(used_up.clone().all(|key| !admitted(table.charge(&window, hash(key), 2, 1))));
        assert_eq!(refused, 0, "new keys start with less, and are not rejected");
        assert_eq!(table.table.bytes(), bytes);

        // Two windows later nothing is left of the flood.
        let Outcome::Admitted { standing, .. } = table.charge(&window, hash(7_000_000), 2 * W, 1)
        else {
            panic!("a newcomer after the flood")
        };
        assert_eq!(standing.remaining(), 99);
    }
}

#[test]
fn evicted_key_keeps_its_counts_when_a_slot_becomes_free() {
    for table in tables(1, 10) {
        // Two buckets, so that all keys meet; sixteen slots.
        let window = per_window(10);
        let (mine, others) = (hash(0), 1..);
        // Slots filled in the window before: they age away sooner than mine.
        for key in others.clone().take(2 * table.slots as usize - 1) {
            assert!((0..9).all(|_| admitted(table.charge(&window, hash(key), 0, 1))));
        }
        assert!((0..6).all(|_| admitted(table.charge(&window, mine, W, 1))));
        // Mine weighs least: a stranger takes its slot.
        assert!(admitted(table.charge(&window, hash(99), W, 1)));
        // The slots of the others are free now, and mine has six requests in the window before.
        let Outcome::Admitted { standing, .. } = table.charge(&window, mine, 2 * W, 1) else {
            panic!()
        };
        assert!(standing.remaining() < 10 - 6, "{standing:?}");
    }
}

#[test]
fn rejected_new_key_evicts_no_key() {
    for table in tables(1, 1) {
        let window = per_window(1);
        let mut refused = 0;
        for key in (0..3000).map(hash) {
            let before = table.contents();
            if let Outcome::Refused { wait, .. } = table.charge(&window, key, 0, 1) {
                assert!(matches!(wait, Some(wait) if wait <= 2 * W), "{wait:?}");
                assert_eq!(table.contents(), before);
                refused += 1;
            }
        }
        assert!(refused > 100, "{refused} of a flood that is far too large for the sketch");
        assert_eq!(table.table.floor_reached(), refused);
    }
}

#[test]
fn reset_key_has_its_whole_limit() {
    for table in tables(100, 2) {
        let window = per_window(2);
        for key in [hash(1), hash(2)] {
            assert!((0..2).all(|_| admitted(table.charge(&window, key, 0, 1))));
            assert!(!admitted(table.charge(&window, key, 0, 1)));
        }
        table.table.reset(hash(1));
        assert!((0..2).all(|_| admitted(table.charge(&window, hash(1), 0, 1))));
        assert!(!admitted(table.charge(&window, hash(1), 0, 1)));
        assert!(!admitted(table.charge(&window, hash(2), 0, 1)), "another key keeps its counts");
    }
}

#[test]
fn concurrent_first_requests_take_one_slot() {
    const KEYS: u64 = 500;
    const THREADS: usize = 4;
    for capacity in [1, 100, 10_000] {
        for table in tables(capacity, 10) {
            let window = per_window(10);
            let admissions: Vec<AtomicU32> = (0..KEYS).map(|_| AtomicU32::new(0)).collect();
            let barrier = Barrier::new(THREADS);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        for (key, count) in (0..).zip(&admissions) {
                            // In step, so that the first requests of each key race.
                            barrier.wait();
                            for _ in 0..5 {
                                let passes = admitted(table.charge(&window, hash(key), 0, 1));
                                count.fetch_add(u32::from(passes), Ordering::Relaxed);
                            }
                        }
                    });
                }
            });
            let most = admissions.iter().map(|count| count.load(Ordering::Relaxed)).max();
            let least = admissions.iter().map(|count| count.load(Ordering::Relaxed)).min();
            assert!(most <= Some(10), "capacity {capacity}: a key was admitted {most:?} times");
            if capacity == 10_000 {
                assert_eq!(least, Some(10), "with room, a key gets its whole quota");
            }
        }
    }
}

proptest! {
    /// Random requests at random times in a table where keys evict each other. If the clock went backwards, the newest time
    /// or window of the table applies.
    #[test]
    fn crowded_table_never_exceeds_an_exact_count(
        limit in 1u32..6,
        steps in prop::collection::vec((0u64..60, -20_000i64..20_000), 1..800),
    ) {
        for table in tables(1, limit) {
            let window = per_window(limit);
            let mut exact = Exact::default();
            let (mut now, mut latest) = (5 * W, 0);
            for (n, (key, step)) in steps.iter().enumerate() {
                // Mostly forward; backwards now and then.
                let step = if n % 7 == 0 { *step } else { step.abs() / 40 };
                now = now.saturating_add_signed(step * MILLI as i64);
                latest = latest.max(now);
                if admitted(table.charge(&window, hash(*key), now, 1)) {
                    let judged = [now, latest / W * W, latest];
                    let fits = judged.iter().any(|now| exact.admits(&window, *key, *now));
                    prop_assert!(fits, "key {key} at {now}");
                    exact.record(&window, *key, now);
                }
            }
        }
    }

    #[test]
    fn table_with_room_agrees_with_an_exact_count(
        limit in 0u32..6,
        fixed in any::<bool>(),
        steps in prop::collection::vec((0u64..8, 0u64..10_000, 0u32..3), 1..300),
    ) {
        let length = NonZeroU64::new(W).unwrap();
        let window =
            if fixed { Window::fixed(limit, length) } else { Window::sliding(limit, length) };
        for table in tables(1000, limit) {
            let mut exact = Exact::default();
            let mut now = 0;
            for (key, step, refunds) in &steps {
                now += step * MILLI;
                let passes = admitted(table.charge(&window, hash(*key), now, 1));
                prop_assert_eq!(passes, exact.admits(&window, *key, now));
                let meter = AnyMeter::Window(window);
                if passes && *refunds == 0 {
                    table.table.refund(&meter, hash(*key), now, now, 1);
                } else if passes {
                    exact.record(&window, *key, now);
                }
                let looks = admitted(table.table.look(&meter, hash(*key), now, 1));
                prop_assert_eq!(looks, exact.admits(&window, *key, now), "a look is what it says");
            }
        }
    }

    /// A bucket that was unused for any number of windows has no old counts and confuses no windows, although a slot contains
    /// its window modulo 256.
    #[test]
    fn pause_of_any_length_leaves_no_stale_counts(
        before in 0u64..600,
        pause in prop_oneof![0u64..600, 200u64..300, 65_000u64..66_000, (1u64 << 31) - 300..(1u64 << 31) + 300],
        keys in 1u64..20,
    ) {
        for table in tables(1, 3) {
            let length = NonZeroU64::new(100 * MILLI).unwrap();
            let window = Window::sliding(3, length);
            let mut exact = Exact::default();
            for at in [before, before + pause].map(|windows| windows * length.get()) {
                for key in 0..keys {
                    for _ in 0..2 {
                        let passes = admitted(table.charge(&window, hash(key), at, 1));
                        if passes {
                            prop_assert!(exact.admits(&window, key, at));
                            exact.record(&window, key, at);
                        } else if pause > 1 && keys <= 7 {
                            prop_assert!(false, "key {key} was refused {pause} windows later");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn fitting_requests_take_the_short_path_at_home_and_spare() {
    let window = per_window(3);
    for subject in tables(1000, 3) {
        for key in (0..1000).map(hash) {
            let try_charge = |cost| {
                let standing = subject.table.try_charge(&window, key, 0, cost);
                standing.map(|standing| standing.remaining())
            };
            assert_eq!(try_charge(1), Some(2), "a new key");
            assert_eq!(try_charge(2), Some(0));
            let before = subject.contents();
            assert_eq!(try_charge(1), None, "over the limit");
            assert_eq!(subject.contents(), before);
        }
        for key in (0..1000).map(hash) {
            let try_charge = |now| subject.table.try_charge(&window, key, now, 2).is_some();
            assert!(try_charge(2 * W), "a later window");
            assert!(!try_charge(0), "a late clock");
        }
        assert_eq!(subject.table.floor_reached(), 0);
    }
}
