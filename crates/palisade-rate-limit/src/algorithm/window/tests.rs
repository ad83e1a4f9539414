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
fn the_waits_are_those_of_the_worked_examples() {
    // limit, elapsed, previous, current, cost -> wait in milliseconds, Retry-After in seconds
    for (limit, elapsed, previous, current, cost, wait, seconds) in [
        (10, 24_000, 10, 4, 1, 6_000, 6),
        (10, 0, 10, 0, 1, 6_000, 6),
        (10, 30_000, 0, 10, 1, 36_000, 36),
        (10, 59_999, 10, 10, 1, 6_001, 7),
        (10, 15_000, 4, 5, 5, 45_000, 45),
        (10, 15_000, 4, 5, 3, 15_000, 15),
    ] {
        let window = window(limit, MINUTE);
        let (counts, at) = state(&window, elapsed * MILLI, previous, current);
        assert!(!window.admits(counts, at, cost));
        assert_eq!(window.charge(counts, at, cost), None, "a refused request is not charged");
        let found = window.wait(counts, at, cost).unwrap();
        // The examples count in milliseconds: a wait that is exact to the nanosecond is less than one shorter.
        assert_eq!(found.div_ceil(MILLI), wait, "{limit} {elapsed} {previous} {current} {cost}");
        assert_eq!(found.div_ceil(1000 * MILLI), seconds);
    }
}

#[test]
fn the_published_example_of_cloudflare_is_counted_as_published() {
    let window = window(100, MINUTE);
    let (counts, at) = state(&window, 15_000 * MILLI, 42, 18);
    // 42 * (60 - 15) / 60 + 18 = 49.5
    assert_eq!(window.weight(counts, at) * 2, 99 * u128::from(MINUTE));
    assert_eq!(window.standing(counts, at).remaining(), 50);
    assert_eq!(window.wait(counts, at, 1), Some(0));
    let charged = window.charge(counts, at, 1).unwrap();
    assert_eq!((charged.previous, charged.current), (42, 19));
    assert_eq!(window.standing(charged, at).remaining(), 49);
}

#[test]
fn a_request_that_costs_more_than_the_limit_never_fits() {
    let window = window(10, MINUTE);
    let (counts, at) = state(&window, 0, 0, 0);
    assert_eq!(window.wait(counts, at, 11), None);
    assert_eq!(window.wait(counts, at, 10), Some(0));
    let nothing = self::window(0, MINUTE);
    assert_eq!(nothing.wait(counts, at, 1), None);
    assert_eq!(nothing.charge(counts, at, 1), None);
}

#[test]
fn the_last_request_of_a_limit_is_admitted_and_charged_once() {
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
fn every_wait_in_small_windows_is_the_one_found_by_trying() {
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
fn quota_comes_back_exactly_when_it_was_said_to() {
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
fn counts_are_forgotten_after_two_windows() {
    let counts = Counts { index: 7, previous: 3, current: 5 };
    assert_eq!(counts.rolled_to(7), counts);
    assert_eq!(counts.rolled_to(8), Counts { index: 8, previous: 5, current: 0 });
    assert!(counts.rolled_to(9).is_idle());
    assert!(counts.rolled_to(u64::MAX).is_idle());
    assert_eq!(counts.rolled_to(6), counts, "an older reading of the clock rolls nothing back");
}

#[test]
fn a_clock_that_went_backwards_is_read_as_the_beginning_of_the_newest_window() {
    let window = window(10, MINUTE);
    let counts = Counts { index: 7, previous: 10, current: 0 };
    let lagging = window.moment(6 * MINUTE + 20_000 * MILLI);
    let at = window.no_earlier_than(lagging, counts.index);
    assert_eq!((at.index, at.elapsed), (7, 0));
    assert!(!window.admits(counts.rolled_to(at.index), at, 1));
    // 40 s until that window begins on this clock, and 6 s of it
    assert_eq!(window.wait(counts, at, 1), Some(46_000 * MILLI));
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let window = window(u32::MAX, u64::MAX / 4);
    let full = Counts { index: 0, previous: u32::MAX, current: u32::MAX };
    let at = window.moment(0);
    assert_eq!(window.charge(full, at, u32::MAX), None);
    assert_eq!(window.wait(full, at, u32::MAX), Some(u64::MAX / 4 * 2));
    assert_eq!(window.standing(full, at).remaining(), 0);
    let late = window.no_earlier_than(window.moment(u64::MAX), u64::MAX);
    assert!(window.wait(full, late, 1).is_some());
}

proptest! {
    #[test]
    fn a_request_is_admitted_when_its_wait_is_over_and_not_a_tick_earlier(
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
    fn what_remains_is_what_can_still_be_had(
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
