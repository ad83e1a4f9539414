//! The table of a rate limiter, beside governor's.
//!
//! Ours is measured through `Policy::decide` on a head, so each check also reads an extension, hashes the key and makes the
//! grant; governor's through `check_key`, which hashes as well. Both read their own clocks. No key exceeds its limit.

use std::{
    hint::black_box,
    num::NonZeroU32,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{DefaultKeyedRateLimiter, RateLimiter};
use http::{Request, request};
use palisade::{
    Clock, Decision, Policy, SystemClock,
    rate_limit::{Key, Quota, RateLimit, by},
};
use palisade_bench::{Comparison, Subject};

use crate::{growing, powers_of_ten, rate_limit::Racing};

/// The client of the next request. Shared with its head, so that the next key costs no look-up.
#[derive(Clone, Debug, Default)]
struct Client(Arc<AtomicU64>);

/// Keys in no order, on a head of its own: a clone has other keys.
struct Keys {
    head: request::Parts,
    client: Client,
    next: u64,
    count: u64,
}

impl Keys {
    fn new(count: usize) -> Self {
        static SEED: AtomicU64 = AtomicU64::new(0);
        let (mut head, ()) = Request::new(()).into_parts();
        let client = Client::default();
        head.extensions.insert(client.clone());
        let next = mixed(SEED.fetch_add(1, Ordering::Relaxed));
        Self { head, client, next, count: count as u64 }
    }

    fn next(&mut self) -> u64 {
        self.next = mixed(self.next);
        ((u128::from(self.next) * u128::from(self.count)) >> 64) as u64
    }

    /// Returns the head of a request of this client.
    fn head(&self, key: u64) -> &request::Parts {
        self.client.0.store(key, Ordering::Relaxed);
        &self.head
    }
}

impl Clone for Keys {
    fn clone(&self) -> Self {
        Self::new(usize::try_from(self.count).expect("it was a usize"))
    }
}

/// SplitMix64.
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// The largest limit that takes 16 bytes a key.
const LIMIT: u32 = 65_534;
const HOUR: Duration = Duration::from_secs(3600);

fn ours(quota: Quota, keys: usize, clock: Arc<dyn Clock>) -> Arc<RateLimit<impl Key>> {
    let client = by(|head: &request::Parts| {
        head.extensions.get().map(|client: &Client| client.0.load(Ordering::Relaxed))
    });
    Arc::new(RateLimit::per_key(client, quota).capacity(keys).clock(clock).build().unwrap())
}

fn theirs() -> Arc<DefaultKeyedRateLimiter<u64>> {
    let quota = governor::Quota::with_period(Duration::from_nanos(1)).unwrap();
    Arc::new(RateLimiter::keyed(quota.allow_burst(NonZeroU32::MAX)))
}

fn is_allowed(limit: &RateLimit<impl Key>, head: &request::Parts) -> bool {
    matches!(limit.decide(head), Decision::Now(Ok(_)))
}

/// 1 to 1,000,000 keys, all known.
pub fn growth() -> Comparison {
    let subjects = |count: usize| {
        let is_hot = count < 10_000;
        let clock: Arc<dyn Clock> = if is_hot { Arc::new(Racing) } else { SystemClock::shared() };
        let window = if is_hot { Duration::from_millis(100) } else { HOUR };
        let (ours, theirs) = (ours(Quota::per(LIMIT, window), count, clock), theirs());
        let mut keys = Keys::new(count);
        for key in 0..count as u64 {
            assert!(is_allowed(&ours, keys.head(key)) && theirs.check_key(&key).is_ok());
        }
        let mut their_keys = keys.clone();
        vec![
            Subject::work("governor", move || {
                assert!(theirs.check_key(&their_keys.next()).is_ok());
            }),
            Subject::work("Palisade", move || {
                let key = keys.next();
                assert!(is_allowed(&ours, keys.head(key)));
            }),
        ]
    };
    growing("keys", powers_of_ten(1, 1_000_000).map(|count| (count, subjects(count))))
}

/// Checks one key, and returns whether it is allowed.
type CheckKey<'a> = dyn Fn(&Keys, u64) -> bool + Sync + 'a;

/// Prints how long single checks take while two threads bring new keys all the time, and then the same keys again.
pub fn print_latencies(keys: usize) {
    let limit = ours(Quota::per(LIMIT, HOUR), keys, SystemClock::shared());
    let peer = theirs();
    println!("## {keys} new keys, 2 threads\n");
    println!("| ns per check | p50 | p99 | p99.9 | p99.99 | longest |");
    println!("|---|--:|--:|--:|--:|--:|");
    let palisade = |keys: &Keys, key| is_allowed(&limit, keys.head(key));
    let governor = |_: &Keys, key| peer.check_key(&key).is_ok();
    let subjects: [(&str, &CheckKey<'_>); 2] = [("governor", &governor), ("Palisade", &palisade)];
    for (name, check) in subjects {
        for phase in ["new keys", "known keys"] {
            let barrier = Barrier::new(2);
            let run = |thread: u64| {
                let head = Keys::new(keys);
                barrier.wait();
                let nanos = (0..keys as u64 / 2).map(|n| {
                    let start = Instant::now();
                    black_box(check(&head, mixed(n * 2 + thread)));
                    u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
                });
                nanos.collect::<Vec<_>>()
            };
            let mut nanos = std::thread::scope(|scope| {
                let other = scope.spawn(|| run(1));
                let mut nanos = run(0);
                nanos.extend(other.join().expect("a thread"));
                nanos
            });
            nanos.sort_unstable();
            let at = |part: f64| nanos[((nanos.len() - 1) as f64 * part) as usize];
            let [p50, p99, p999, p9999, longest] = [0.5, 0.99, 0.999, 0.9999, 1.0].map(at);
            println!("| {name}, {phase} | {p50} | {p99} | {p999} | {p9999} | {longest} |");
        }
    }
    println!("\nPalisade's table: {:.1} bytes a key.\n", limit.table_bytes() as f64 / keys as f64);
}
