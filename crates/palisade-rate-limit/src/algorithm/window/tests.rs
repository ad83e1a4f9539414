use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;

const MILLI: u64 = 1_000_000;
const MINUTE: u64 = 60_000 * MILLI;

fn window(limit: u32, length: u64) -> Window {
    Window::sliding(limit, NonZeroU64::new(length).unwrap())
}

/// `elapsed` ticks into window 7, with these counts.
fn state(window: &Window, elapsed: u64, previous: u32, current: u32) -> (Counts, Moment) {
    let at = window.moment(7 * window.length.get() + elapsed);
    (Counts { index: 7, previous, current }, at)
}

/// Whether the request is admitted `later` ticks from then, told from the beginning by the formula alone.
fn admits_later(window: &Window, counts: Counts, at: Moment, cost: u32, later: u64) -> bool {
    let at = window.moment(at.index * window.length.get() + at.elapsed + later);
    window.admits(counts.rolled_to(at.index), at, cost)
}

#[test]
fn waits_equal_those_of_the_worked_examples() {
    // limit, elapsed ms, previous, current, cost -> the wait in ns, Retry-After in seconds
    for (limit, elapsed, previous, current, cost, wait, seconds) in [
        (10, 24_000, 10, 4, 1, 1, 1),
        (10, 0, 10, 0, 1, 1, 1),
        (10, 30_000, 0, 10, 1, 30_000 * MILLI + 1, 31),
        (10, 59_999, 10, 10, 1, MILLI + 1, 1),
        (10, 15_000, 4, 5, 5, 30_000 * MILLI + 1, 31),
        (10, 15_000, 4, 5, 3, 1, 1),
    ] {
        let window = window(limit, MINUTE);
        let (counts, at) = state(&window, elapsed * MILLI, previous, current);
        assert!(!window.admits(counts, at, cost));
        assert_eq!(window.charge(counts, at, cost), None, "a refused request is not charged");
        let found = window.wait(counts, at, cost).unwrap();
        assert_eq!(found, wait, "{limit} {elapsed} {previous} {current} {cost}");
        assert_eq!(found.div_ceil(1000 * MILLI), seconds);
    }
    let window = window(1, 10_000 * MILLI);
    let (counts, at) = state(&window, 3_000 * MILLI, 0, 1);
    assert_eq!(window.wait(counts, at, 1), Some(7_000 * MILLI + 1));
}

#[test]
fn counts_the_published_example_of_cloudflare() {
    let window = window(100, MINUTE);
    let (counts, at) = state(&window, 15_000 * MILLI, 42, 18);
    // 42 * (60 - 15) / 60 + 18 = 49.5, rounded down
    assert_eq!(window.used(counts, at), 49);
    assert_eq!(window.standing(counts, at).remaining(), 51);
    assert_eq!(window.wait(counts, at, 1), Some(0));
    let charged = window.charge(counts, at, 1).unwrap();
    assert_eq!((charged.previous, charged.current), (42, 19));
    assert_eq!(window.standing(charged, at).remaining(), 50);
}

#[test]
fn cost_over_the_limit_never_fits() {
    let window = window(10, MINUTE);
    let (counts, at) = state(&window, 0, 0, 0);
    assert_eq!(window.wait(counts, at, 11), None);
    assert_eq!(window.wait(counts, at, 10), Some(0));
    let nothing = self::window(0, MINUTE);
    assert_eq!(nothing.wait(counts, at, 1), None);
    assert_eq!(nothing.charge(counts, at, 1), None);
}

#[test]
fn last_request_within_the_limit_is_admitted_and_charged_once() {
    let window = window(10, MINUTE);
    let (mut counts, at) = state(&window, 0, 0, 0);
    for used in 1..=10 {
        counts = window.charge(counts, at, 1).unwrap();
        assert_eq!(counts.current, used);
        assert_eq!(window.standing(counts, at).remaining(), 10 - used);
    }
    assert_eq!(window.charge(counts, at, 1), None);
}

#[test]
fn waits_in_small_windows_equal_brute_force() {
    let mut tried = 0;
    for (limit, length) in (0..=5).flat_map(|limit| (1..=7).map(move |length| (limit, length))) {
        let window = window(limit, length);
        for previous in 0..=limit {
            for current in 0..=limit {
                for (elapsed, cost) in
                    (0..length).flat_map(|e| (0..=limit + 1).map(move |n| (e, n)))
                {
                    let (counts, at) = state(&window, elapsed, previous, current);
                    let by_trying = (0..=3 * length)
                        .find(|later| admits_later(&window, counts, at, cost, *later));
                    assert_eq!(
                        window.wait(counts, at, cost),
                        by_trying,
                        "{limit} per {length}, {counts:?}, {at:?}, cost {cost}"
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 10_000, "{tried}");
}

#[test]
fn quota_is_available_exactly_after_the_wait() {
    let window = window(10, MINUTE);
    for (elapsed, previous, current) in [(0, 10, 0), (15_000, 4, 5), (59_999, 10, 9), (1, 0, 10)] {
        let (counts, at) = state(&window, elapsed * MILLI, previous, current);
        let standing = window.standing(counts, at);
        let more_in = standing.more_in_nanos().unwrap();
        let remaining_later = |later| {
            let at = window.moment(7 * MINUTE + elapsed * MILLI + later);
            window.standing(counts.rolled_to(at.index), at).remaining()
        };
        assert_eq!(remaining_later(more_in), standing.remaining() + 1);
        assert_eq!(remaining_later(more_in - 1), standing.remaining());
    }
}

#[test]
fn counts_expire_after_two_windows() {
    let counts = Counts { index: 7, previous: 3, current: 5 };
    assert_eq!(counts.rolled_to(7), counts);
    assert_eq!(counts.rolled_to(8), Counts { index: 8, previous: 5, current: 0 });
    assert!(counts.rolled_to(9).is_idle());
    assert!(counts.rolled_to(u64::MAX).is_idle());
    assert_eq!(counts.rolled_to(6), counts, "an older reading of the clock rolls nothing back");
}

#[test]
fn backward_clock_reads_as_start_of_the_newest_window() {
    let window = window(10, MINUTE);
    let counts = Counts { index: 7, previous: 10, current: 0 };
    let lagging = window.moment(6 * MINUTE + 20_000 * MILLI);
    let at = window.no_earlier_than(lagging, counts.index);
    assert_eq!((at.index, at.elapsed), (7, 0));
    assert!(!window.admits(counts.rolled_to(at.index), at, 1));
    // 40 s until that window begins on this clock, and one tick of it
    assert_eq!(window.wait(counts, at, 1), Some(40_000 * MILLI + 1));
}

#[test]
fn largest_numbers_do_not_overflow() {
    let window = window(u32::MAX, u64::MAX / 4);
    let full = Counts { index: 0, previous: u32::MAX, current: u32::MAX };
    let at = window.moment(0);
    assert_eq!(window.charge(full, at, u32::MAX), None);
    assert_eq!(
        window.wait(full, at, u32::MAX),
        Some(u64::MAX / 4 * 2 - (u64::MAX / 4 - 1) / u64::from(u32::MAX))
    );
    assert_eq!(window.standing(full, at).remaining(), 0);
    let late = window.no_earlier_than(window.moment(u64::MAX), u64::MAX);
    assert!(window.wait(full, late, 1).is_some());
}

proptest! {
    #[test]
    fn request_is_admitted_exactly_after_its_wait(
        (limit, cost) in (1u32..=u32::MAX).prop_flat_map(|limit| (Just(limit), 0..=limit)),
        (length, elapsed) in (1..=10 * MINUTE).prop_flat_map(|length| (Just(length), 0..length)),
        used in (0.0f64..=1.0, 0.0f64..=1.0),
    ) {
        let window = window(limit, length);
        let part = |share: f64| (f64::from(limit) * share) as u32;
        let (counts, at) = state(&window, elapsed, part(used.0), part(used.1));
        let wait = window.wait(counts, at, cost).unwrap();
        prop_assert!(admits_later(&window, counts, at, cost, wait));
        prop_assert!(wait == 0 || !admits_later(&window, counts, at, cost, wait - 1));
        prop_assert_eq!(wait == 0, window.charge(counts, at, cost).is_some());
    }

    #[test]
    fn remaining_is_the_largest_admissible_cost(
        limit in 1u32..50, length in 1u64..50, elapsed in 0u64..50, used in (0u32..50, 0u32..50),
    ) {
        let window = window(limit, length);
        let (counts, at) =
            state(&window, elapsed % length, used.0.min(limit), used.1.min(limit));
        let remaining = window.standing(counts, at).remaining();
        prop_assert!(remaining == 0 || window.admits(counts, at, remaining));
        prop_assert!(!window.admits(counts, at, remaining + 1));
    }
}

/// What Upstash's `slidingWindow` decides of a request of cost 1, in the doubles of its script.
fn upstash(limit: u32, length: u64, now: u64, previous: u32, current: u32) -> bool {
    let share = (now % length) as f64 / length as f64;
    let weighted = ((1.0 - share) * f64::from(previous)).floor();
    weighted + f64::from(current) < f64::from(limit)
}

/// Requests of one client, `gap` ticks apart: how many came and how many were admitted.
fn paced(window: &Window, start: u64, gap: impl Fn(u64) -> u64, windows: u64) -> (u64, Vec<u64>) {
    let (mut counts, mut admitted, mut came, mut now) = (Counts::default(), Vec::new(), 0, start);
    while now < start + windows * window.length() {
        let at = window.moment(now);
        counts = window.roll(counts, at.index);
        if let Some(charged) = window.charge(counts, at, 1) {
            counts = charged;
            admitted.push(now);
        }
        came += 1;
        now = start + gap(came);
    }
    (came, admitted)
}

fn most_in_a_window(window: &Window, admitted: &[u64]) -> usize {
    let within = |first: usize| {
        let end = admitted[first] + window.length();
        admitted[first..].iter().take_while(|at| **at < end).count()
    };
    (0..admitted.len()).map(within).max().unwrap_or(0)
}

#[test]
fn client_paced_below_the_limit_is_never_rejected() {
    const LENGTH: u64 = 10_000_000;
    for limit in 1..=100 {
        let window = window(limit, LENGTH);
        for permille in [500, 900, 990, 999] {
            for start in [0, 1, LENGTH / 3, LENGTH - 1] {
                let gap = |n: u64| (n * LENGTH * 1000).div_ceil(u64::from(limit) * permille);
                let (came, admitted) = paced(&window, start, gap, 40);
                assert_eq!(admitted.len() as u64, came, "{permille} ‰ of {limit} from {start}");
            }
        }
    }
}

#[test]
fn saturated_client_gets_its_limit_on_average() {
    const LENGTH: u64 = 1_000_000;
    const WINDOWS: u64 = 100;
    for limit in 1..=100 {
        let window = window(limit, LENGTH);
        for times in [2, 3, 10] {
            let gap = |n: u64| n * LENGTH / (u64::from(limit) * times);
            let (_, admitted) = paced(&window, LENGTH / 7, gap, WINDOWS);
            // The first window has no history and admits the whole limit in what is left of it.
            let whole = 2 * LENGTH..WINDOWS * LENGTH;
            let later = admitted.iter().filter(|at| whole.contains(at)).count();
            let share = later as f64 / (f64::from(limit) * (WINDOWS - 2) as f64);
            assert!((0.99..=1.0).contains(&share), "{times} times {limit}: {share}");
            assert!(most_in_a_window(&window, &admitted) <= 2 * limit as usize);
        }
    }
}

#[test]
fn wait_exceeds_the_window_by_at_most_one_tick() {
    const LENGTH: u64 = 1000;
    for limit in 1..=100 {
        let window = window(limit, LENGTH);
        for (elapsed, previous) in (0..LENGTH).step_by(7).flat_map(|e| [(e, 0), (e, limit)]) {
            let (counts, at) = state(&window, elapsed, previous, limit);
            let wait = window.wait(counts, at, 1).unwrap();
            assert!(wait <= LENGTH + 1, "{limit}: {wait}");
            // A request of another cost waits for as many of the limit's parts of another window.
            for cost in 1..=limit {
                let wait = window.wait(counts, at, cost).unwrap();
                let longest =
                    LENGTH + 1 + (u64::from(cost - 1) * LENGTH).div_ceil(u64::from(limit));
                assert!(wait <= longest, "{cost} of {limit}: {wait}");
            }
        }
    }
}

proptest! {
    /// Every decision of any trace of milliseconds, on the state that the trace has led to.
    #[test]
    fn decisions_agree_with_upstash_on_any_trace(
        limit in 1u32..=100,
        seconds in 1u64..100,
        steps in prop::collection::vec(0u64..4000, 1..500),
    ) {
        let length = seconds * 1000;
        let window = window(limit, length);
        let (mut counts, mut now) = (Counts::default(), 0);
        for step in steps {
            // Some steps are bursts, and the rest up to a few requests' share of the window.
            now += if step < 1000 { 0 } else { step * length / (u64::from(limit) * 2000) };
            let at = window.moment(now);
            counts = window.roll(counts, at.index);
            let admits = window.admits(counts, at, 1);
            let theirs = upstash(limit, length, now, counts.previous, counts.current);
            if admits != theirs {
                // Where the weighted count is an integer, the product of their doubles may be just below it.
                let product = u64::from(counts.previous) * (length - at.elapsed);
                prop_assert!(product.is_multiple_of(length) && theirs, "{counts:?} at {at:?}");
            }
            if let Some(charged) = window.charge(counts, at, 1) {
                counts = charged;
            }
        }
    }
}
