use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
};

use proptest::prelude::*;

use super::*;

const W: u64 = 60_000;

fn per_window(limit: u32) -> Window {
    Window::new(limit, NonZeroU64::new(W).unwrap())
}

/// The hash of the `n`th key (SplitMix64): as even as a keyed hash, and the same in every run.
fn hash(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

fn admitted(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Admitted(_))
}

/// Counts every key by itself and forgets none.
#[derive(Default)]
struct Exact(HashMap<u64, Counts>);

impl Exact {
    fn state(&self, window: &Window, key: u64, now: u64) -> (Counts, Moment) {
        let counts = self.0.get(&key).copied().unwrap_or_default();
        let at = window.no_earlier_than(window.moment(now), counts.index);
        (counts.rolled_to(at.index), at)
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
fn a_bucket_is_three_cache_lines_and_a_key_32_bytes() {
    if cfg!(any(target_os = "linux", target_os = "windows")) {
        assert_eq!(size_of::<Bucket>(), 192);
        let keys = 600_000;
        assert_eq!(Table::for_keys(keys).unwrap().bytes(), 32 * keys);
    }
}

#[test]
fn a_table_for_no_keys_or_for_too_many_is_a_configuration_error() {
    for keys in [0, usize::MAX] {
        let error = Table::for_keys(keys).unwrap_err().to_string();
        assert!(error.starts_with(&format!("capacity `{keys}` is not valid: choose ")), "{error}");
    }
}

#[test]
fn every_key_has_two_buckets_that_differ() {
    for keys in [1, 13, 100] {
        let table = Table::for_keys(keys).unwrap();
        for n in 0..1000 {
            let place = table.place(hash(n));
            assert_ne!(place.home, place.spare);
            assert!(place.home.max(place.spare) < table.buckets.len());
            assert_ne!(place.tag, Tag::default());
        }
        assert_ne!(table.place(0).tag, Tag::default());
    }
}

#[test]
fn a_table_with_as_many_keys_as_it_was_made_for_counts_each_by_itself() {
    let table = Table::for_keys(60_000).unwrap();
    let window = per_window(10);
    let fresh = |n: &u64| match table.charge(&window, hash(*n), 0, 1) {
        Outcome::Admitted(standing) => standing.remaining == 9,
        Outcome::Refused(_) => false,
    };
    let crowded_out = 60_000 - (0..60_000).filter(fresh).count();
    assert!(crowded_out < 6, "{crowded_out} keys began with less than their quota");
}

#[test]
fn a_flood_of_keys_resets_none_that_is_used_up_and_takes_no_memory() {
    let capacity = 1200;
    let table = Table::for_keys(capacity).unwrap();
    let window = per_window(100);
    let bytes = table.bytes();
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
    assert_eq!(refused, 0, "newcomers start with less, and are not shut out");
    assert_eq!(table.bytes(), bytes);

    // Two windows later nothing is left of the flood.
    let Outcome::Admitted(standing) = table.charge(&window, hash(7_000_000), 2 * W, 1) else {
        panic!("a newcomer after the flood")
    };
    assert_eq!(standing.remaining, 99);
}

#[test]
fn a_key_that_was_driven_out_cannot_come_back_through_a_slot_that_became_free() {
    // Two buckets, so that all keys meet; sixteen slots.
    let table = Table::for_keys(1).unwrap();
    let window = per_window(10);
    let (mine, others) = (hash(0), 1..);
    // Slots filled in the window before: they age away sooner than mine.
    for key in others.clone().take(15) {
        assert!((0..9).all(|_| admitted(table.charge(&window, hash(key), 0, 1))));
    }
    assert!((0..6).all(|_| admitted(table.charge(&window, mine, W, 1))));
    // Mine weighs least: a stranger takes its slot.
    assert!(admitted(table.charge(&window, hash(99), W, 1)));
    // The slots of the others are free now, and mine has six requests in the window before.
    let Outcome::Admitted(standing) = table.charge(&window, mine, 2 * W, 1) else { panic!() };
    assert!(standing.remaining < 10 - 6, "{standing:?}");
}

#[test]
fn a_refused_newcomer_drives_nobody_out() {
    let table = Table::for_keys(1).unwrap();
    let window = per_window(1);
    let seated: Vec<u64> =
        (0..1000).map(hash).filter(|key| admitted(table.charge(&window, *key, 0, 1))).collect();
    assert_eq!(seated.len(), 16);
    let before = format!("{table:?}");
    for key in 1000..2000 {
        let outcome = table.charge(&window, hash(key), 0, 1);
        assert_eq!(outcome, Outcome::Refused(Some(2 * W)), "as long as those in its place");
    }
    assert_eq!(format!("{table:?}"), before);
}

#[test]
fn threads_that_meet_on_new_keys_never_seat_one_twice() {
    const KEYS: u64 = 500;
    const THREADS: usize = 4;
    for capacity in [1, 100, 10_000] {
        let table = Table::for_keys(capacity).unwrap();
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

proptest! {
    /// Whatever comes, at whatever times the clock shows, in a table where everybody drives everybody out. Where the
    /// clock went backwards, a newcomer is judged in the newest window that the bucket has seen.
    #[test]
    fn a_crowded_table_never_admits_what_an_exact_count_would_refuse(
        limit in 1u32..6,
        steps in prop::collection::vec((0u64..60, -20_000i64..20_000), 1..800),
    ) {
        let table = Table::for_keys(1).unwrap();
        let window = per_window(limit);
        let mut exact = Exact::default();
        let (mut now, mut newest) = (5 * W, 0);
        for (n, (key, step)) in steps.into_iter().enumerate() {
            // Mostly forward; backwards now and then.
            now = now.saturating_add_signed(if n % 7 == 0 { step } else { step.abs() / 40 });
            newest = newest.max(now / W * W);
            if admitted(table.charge(&window, hash(key), now, 1)) {
                let fits = [now, newest].iter().any(|now| exact.admits(&window, key, *now));
                prop_assert!(fits, "key {key} at {now}");
                exact.record(&window, key, now);
            }
        }
    }

    #[test]
    fn a_table_with_room_admits_what_an_exact_count_admits(
        limit in 0u32..6,
        steps in prop::collection::vec((0u64..8, 0u64..10_000), 1..300),
    ) {
        let table = Table::for_keys(1000).unwrap();
        let window = per_window(limit);
        let mut exact = Exact::default();
        let mut now = 0;
        for (key, step) in steps {
            now += step;
            let passes = admitted(table.charge(&window, hash(key), now, 1));
            prop_assert_eq!(passes, exact.admits(&window, key, now));
            if passes {
                exact.record(&window, key, now);
            }
        }
    }
}
