//! Floods of keys.

use super::*;

type Number = fn(&http::request::Parts) -> Option<u64>;

/// A limit by a number that the request carries, and a client of each.
struct Flooded {
    limit: RateLimit<By<Number>>,
    clock: ManualClock,
    head: http::request::Parts,
}

impl Flooded {
    fn new(quota: Quota, capacity: usize) -> Self {
        let number: Number = |head| head.extensions.get().copied();
        let clock = ManualClock::default();
        clock.advance(WINDOW / 3);
        let limit = RateLimit::per_key(by(number), quota).capacity(capacity);
        let (head, ()) = http::Request::new(()).into_parts();
        Self { limit: limit.clock(Arc::new(clock.clone())).build().unwrap(), clock, head }
    }

    fn admits(&mut self, client: u64) -> bool {
        self.head.extensions.insert(client);
        matches!(self.limit.decide(&self.head), Decision::Now(Ok(_)))
    }

    /// Sends one request from each of so many new clients.
    fn flood(&mut self, clients: u64) {
        for client in 0..clients {
            self.admits(1 << 40 | client);
        }
    }

    /// The share of new clients whose first request is rejected.
    fn rejected_newcomers(&mut self) -> f64 {
        const TRIED: u64 = 10_000;
        let rejected = (0..TRIED).filter(|client| !self.admits(1 << 50 | client)).count();
        rejected as f64 / TRIED as f64
    }
}

#[test]
fn flood_resets_no_client_and_rejects_no_new_key() {
    for limit in [1, 2, 3, 5, 10, 20, 50, 100] {
        // The flood is large enough that the newcomers hardly add to it.
        let capacity = 2000.max(40_000 / limit as usize);
        let quotas: &[fn(Quota) -> Quota] = match limit {
            5 => &[Quota::sliding_window, Quota::fixed_window, Quota::strict, Quota::exact_log],
            20 => &[Quota::sliding_window, Quota::gcra],
            _ => &[Quota::sliding_window],
        };
        for algorithm in quotas {
            let quota = algorithm(Quota::per(limit, WINDOW));
            let mut flooded = Flooded::new(quota.clone(), capacity);
            let (used_up, half) = (0..100, 100..200);
            for client in used_up.clone() {
                assert!((0..limit).all(|_| flooded.admits(client)));
            }
            for client in half.clone() {
                assert!((0..limit / 2).all(|_| flooded.admits(client)));
            }
            flooded.flood(10 * u64::from(limit) * capacity as u64);
            assert!(used_up.clone().all(|client| !flooded.admits(client)), "{quota:?}");
            for client in half {
                let admitted = (0..limit).filter(|_| flooded.admits(client)).count() as u32;
                assert!(admitted <= limit - limit / 2, "{quota:?}: {admitted}");
            }
            let rejected = flooded.rejected_newcomers();
            assert!(rejected < 0.01, "{quota:?}: {rejected}");
            // Two windows later, or four of the algorithms that remember by two windows, nothing is left of it.
            flooded.clock.advance(4 * WINDOW);
            let later = (0..limit).all(|_| flooded.admits(7)) && !flooded.admits(7);
            assert!(later, "{quota:?}");
        }
    }
}

#[test]
fn large_limit_withstands_the_documented_flood() {
    const CAPACITY: usize = 50;
    // A sketch of 16 bytes for each key has fewer cells the wider they are.
    for (limit, times) in [(511, 10), (512, 9), (1023, 9), (1024, 8), (4095, 8), (8191, 6)] {
        let mut flooded = Flooded::new(Quota::per(limit, WINDOW), CAPACITY);
        flooded.flood(times * u64::from(limit) * CAPACITY as u64);
        let rejected = (0..1000).filter(|client| !flooded.admits(1 << 50 | client)).count();
        assert!(rejected < 10, "{limit}: {rejected} of 1000");
    }
}

#[test]
fn eight_hundred_thousand_keys_reject_no_new_key() {
    let mut flooded = Flooded::new(Quota::per(5, WINDOW), 100_000);
    assert!(flooded.limit.table_bytes() < 2 * 1_665_536);
    flooded.flood(800_000);
    assert_eq!(flooded.rejected_newcomers(), 0.0);
}
