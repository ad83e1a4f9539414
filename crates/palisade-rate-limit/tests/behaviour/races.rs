//! Parallel requests.

use std::sync::{
    Barrier,
    atomic::{AtomicUsize, Ordering},
};

use palisade_core::{Decision, Policy};
use palisade_rate_limit::{Admission, By, Standing, by};

use crate::*;

/// The number of a client, in the extensions of its requests.
#[derive(Clone, Copy)]
struct Client(u64);

fn numbered(
    quotas: impl Into<palisade_rate_limit::Quotas>,
) -> RateLimitBuilder<By<impl Fn(&http::request::Parts) -> Option<u64>>> {
    let client = by(|head: &http::request::Parts| head.extensions.get().map(|Client(n)| *n));
    RateLimit::per_key(client, quotas)
}

fn admission<K: Key>(limit: &RateLimit<K>, client: u64) -> Option<Admission> {
    let (mut head, ()) = Request::new(()).into_parts();
    head.extensions.insert(Client(client));
    match limit.decide(&head) {
        Decision::Now(outcome) => outcome.ok(),
        Decision::Later(_) => panic!("it decides at once"),
    }
}

/// How many of a thousand requests of one client pass, of twenty threads. What passes is being answered until all are in.
fn of_a_thousand<K: Key>(limit: &RateLimit<K>) -> usize {
    const THREADS: usize = 20;
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    (0..1000 / THREADS).filter_map(|_| admission(limit, 7)).collect::<Vec<_>>()
                })
            })
            .collect();
        let held: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        held.iter().map(Vec::len).sum()
    })
}

#[test]
fn each_algorithm_admits_100_of_1000_parallel_requests() {
    for kind in TIMED {
        let quota = kind(Quota::per(100, MINUTE));
        assert_eq!(of_a_thousand(&clocked(numbered(quota.clone())).0), 100, "{quota:?}");
        // The same in the table that chosen quotas have.
        let chosen = numbered(quota.clone()).quota(move |_, _| quota.clone());
        assert_eq!(of_a_thousand(&clocked(chosen).0), 100);
    }
}

#[test]
fn two_quotas_admit_100_of_1000_parallel_requests() {
    for (first, second) in [(100, 100), (100, 150), (150, 100)] {
        for kind in TIMED {
            let quotas = [
                kind(Quota::per(first, MINUTE)).named("first"),
                Quota::per(second, HOUR).named("second"),
            ];
            let (limit, _) = clocked(
                numbered(quotas).cost(|head| u32::from(head.extensions.get::<Looks>().is_none())),
            );
            assert_eq!(of_a_thousand(&limit), 100);
            let (mut head, ()) = Request::new(()).into_parts();
            head.extensions.insert(Client(7));
            head.extensions.insert(Looks);
            let Decision::Now(Ok(looked)) = limit.decide(&head) else { panic!("a look passes") };
            let left: Vec<u32> = looked.standings().iter().map(Standing::remaining).collect();
            assert_eq!(left, [first - 100, second - 100], "{kind:?}");
        }
    }
}

#[derive(Clone, Copy)]
struct Looks;

#[test]
fn full_table_never_admits_more_than_the_limit() {
    const CLIENTS: u64 = 300;
    for kind in TIMED {
        for capacity in [1, 50, 10_000] {
            let (limit, _) = clocked(numbered(kind(Quota::per(10, MINUTE))).capacity(capacity));
            let passed: Vec<AtomicUsize> = (0..CLIENTS).map(|_| AtomicUsize::new(0)).collect();
            let barrier = Barrier::new(2);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for (client, count) in (0..).zip(&passed) {
                            // In step, so that the first requests of a client race.
                            barrier.wait();
                            for _ in 0..10 {
                                let passes = admission(&limit, client).is_some();
                                count.fetch_add(usize::from(passes), Ordering::Relaxed);
                            }
                        }
                    });
                }
            });
            let passed: Vec<_> = passed.into_iter().map(AtomicUsize::into_inner).collect();
            assert!(passed.iter().all(|passed| *passed <= 10), "{kind:?} {capacity}");
            if capacity == 10_000 {
                assert!(
                    passed.iter().all(|passed| *passed == 10),
                    "with room, each gets its whole quota"
                );
            }
        }
    }
}
