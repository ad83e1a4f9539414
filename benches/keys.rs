//! The table of a rate limiter, beside governor's.
//!
//! Ours is measured through `Policy::decide` on a head, so each check also reads an extension, hashes the key and makes the
//! grant; governor's through `check_key`, which hashes as well. Both read their own clocks. A key that is checked all the time
//! gets a new table when it exceeds its limit.

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
    Decision, PeerAddr, Policy,
    rate_limit::{Key, Quota, RateLimit, by},
};
use palisade_bench::{Comparison, Subject};

use crate::{growing, powers_of_ten};

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

/// The largest limit that takes 16 bytes a key, in each hour.
const QUOTA: Quota = Quota::per(65_534, Duration::from_secs(3600));

fn ours(keys: usize) -> Arc<RateLimit<impl Key>> {
    let client = by(|head: &request::Parts| {
        head.extensions.get().map(|client: &Client| client.0.load(Ordering::Relaxed))
    });
    Arc::new(RateLimit::per_key(client, QUOTA).capacity(keys).build().unwrap())
}

fn theirs() -> Arc<DefaultKeyedRateLimiter<u64>> {
    let quota = governor::Quota::with_period(Duration::from_nanos(1)).unwrap();
    Arc::new(RateLimiter::keyed(quota.allow_burst(NonZeroU32::MAX)))
}

fn is_allowed(limit: &RateLimit<impl Key>, head: &request::Parts) -> bool {
    matches!(limit.decide(head), Decision::Now(Ok(_)))
}

/// The name of the set of one key.
pub const HOT: &str = "a decision, always the same key";

/// The name of a decision without a key, time and table.
pub const SKIPPED: &str = "Palisade, skipped";

/// Checks of one key.
pub(crate) fn hot() -> [Subject; 4] {
    let keys = Keys::new(1);
    let (mut limit, peer) = (ours(1), theirs());
    let by_address = || RateLimit::per_address(QUOTA).capacity(1).build().unwrap();
    let mut addresses = Arc::new(by_address());
    let (mut head, ()) = Request::new(()).into_parts();
    head.extensions.insert(PeerAddr(([192, 0, 2, 1], 4000).into()));
    let skipped = RateLimit::per_address(QUOTA).capacity(1).skip(|_| true).build().unwrap();
    let (skipped, skipped_head) = (Arc::new(skipped), head.clone());
    [
        Subject::work("governor", move || assert!(peer.check_key(black_box(&0)).is_ok())),
        Subject::work("Palisade", move || {
            if !is_allowed(&limit, keys.head(0)) {
                limit = ours(1);
            }
        }),
        Subject::work("Palisade, by address", move || {
            if !is_allowed(&addresses, black_box(&head)) {
                addresses = Arc::new(by_address());
            }
        }),
        Subject::work(SKIPPED, move || assert!(is_allowed(&skipped, black_box(&skipped_head)))),
    ]
}

/// 1 to 1,000,000 keys, all known.
pub fn growth() -> Comparison {
    let subjects = |count: usize| {
        let (mut limit, theirs) = (ours(count), theirs());
        let mut keys = Keys::new(count);
        for key in 0..count as u64 {
            assert!(is_allowed(&limit, keys.head(key)) && theirs.check_key(&key).is_ok());
        }
        let mut their_keys = keys.clone();
        vec![
            Subject::work("governor", move || {
                assert!(theirs.check_key(&their_keys.next()).is_ok());
            }),
            Subject::work("Palisade", move || {
                let key = keys.next();
                if !is_allowed(&limit, keys.head(key)) {
                    limit = ours(count);
                }
            }),
        ]
    };
    growing("keys", powers_of_ten(1, 1_000_000).map(|count| (count, subjects(count))))
}

/// How long single checks take, in nanoseconds. The time that reading the clock takes is subtracted.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Half of the checks were faster.
    pub p50: u32,
    /// 99 % of the checks were faster.
    pub p99: u32,
    /// 99.9 % of the checks were faster.
    pub p999: u32,
    /// 99.99 % of the checks were faster.
    pub p9999: u32,
    /// The slowest check.
    pub longest: u32,
}

impl Latency {
    fn from_nanos(mut nanos: Vec<u32>, clock: u32) -> Self {
        nanos.sort_unstable();
        let at =
            |part: f64| nanos[((nanos.len() - 1) as f64 * part) as usize].saturating_sub(clock);
        let [p50, p99, p999, p9999, longest] = [0.5, 0.99, 0.999, 0.9999, 1.0].map(at);
        Self { p50, p99, p999, p9999, longest }
    }

    /// Returns the median of each percentile.
    fn median(rounds: &[Self]) -> Self {
        let of = |percentile: fn(&Self) -> u32| {
            let mut values: Vec<_> = rounds.iter().map(percentile).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        Self {
            p50: of(|latency| latency.p50),
            p99: of(|latency| latency.p99),
            p999: of(|latency| latency.p999),
            p9999: of(|latency| latency.p9999),
            longest: of(|latency| latency.longest),
        }
    }
}

/// The latencies of both sides.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// The number of keys.
    pub keys: usize,
    /// Governor and Palisade, while two threads bring new keys all the time.
    pub new_keys: [Latency; 2],
    /// Governor and Palisade, one thread, all keys known.
    pub known_keys: [Latency; 2],
    /// The size of our table.
    pub bytes_per_key: f64,
}

/// Takes about this many seconds.
pub const LATENCY_SECONDS: u32 = 12;

/// Measures single checks, in rounds in which both sides take turns.
pub fn latencies(keys: usize) -> Latencies {
    const ROUNDS: usize = 5;
    let clock = Latency::from_nanos(timed(&Keys::new(1), 0..100_000, &|_, _| true), 0).p50;
    let mut rounds: [[Vec<Latency>; 2]; 2] = Default::default();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let (limit, peer) = (ours(keys), theirs());
        let palisade = |keys: &Keys, key| is_allowed(&limit, keys.head(key));
        let governor = |_: &Keys, key| peer.check_key(&key).is_ok();
        let sides: [&CheckKey<'_>; 2] = [&governor, &palisade];
        for (side, check) in sides.into_iter().enumerate() {
            let barrier = Barrier::new(2);
            let half = |thread: u64| {
                let head = Keys::new(keys);
                barrier.wait();
                timed(&head, (0..keys as u64 / 2).map(|n| n * 2 + thread), check)
            };
            let nanos = std::thread::scope(|scope| {
                let other = scope.spawn(|| half(1));
                let mut nanos = half(0);
                nanos.extend(other.join().expect("a thread"));
                nanos
            });
            rounds[0][side].push(Latency::from_nanos(nanos, clock));
        }
        for (side, check) in sides.into_iter().enumerate() {
            let nanos = timed(&Keys::new(keys), 0..keys as u64, check);
            rounds[1][side].push(Latency::from_nanos(nanos, clock));
        }
        bytes = limit.table_bytes();
    }
    let [new_keys, known_keys] = rounds.map(|sides| sides.map(|rounds| Latency::median(&rounds)));
    Latencies { keys, new_keys, known_keys, bytes_per_key: bytes as f64 / keys as f64 }
}

/// Checks one key, and returns whether it is allowed.
type CheckKey<'a> = dyn Fn(&Keys, u64) -> bool + Sync + 'a;

/// Returns the nanoseconds of each check. The keys are numbers in no order, which are the same for the same `numbers`.
fn timed(head: &Keys, numbers: impl Iterator<Item = u64>, check: &CheckKey<'_>) -> Vec<u32> {
    let nanos = numbers.map(|number| {
        let key = mixed(number);
        let start = Instant::now();
        black_box(check(head, black_box(key)));
        u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
    });
    nanos.collect()
}

impl Latencies {
    /// Returns a table as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut table = format!(
            "| ns per check, {} keys | p50 | p99 | p99.9 | p99.99 | longest |\n| --- | --: | --: | --: | --: | --: |\n",
            self.keys
        );
        for (phase, sides) in
            [("new keys, 2 threads", &self.new_keys), ("known keys, 1 thread", &self.known_keys)]
        {
            for (name, latency) in ["governor", "Palisade"].iter().zip(sides) {
                let Latency { p50, p99, p999, p9999, longest } = latency;
                table += &format!(
                    "| {name}, {phase} | {p50} | {p99} | {p999} | {p9999} | {longest} |\n"
                );
            }
        }
        table + &format!("\nPalisade's table: {:.1} bytes a key.\n", self.bytes_per_key)
    }
}
