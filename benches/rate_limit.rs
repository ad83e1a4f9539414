//! Limits beside governor's keyed limiter and beside the layer of tower_governor: `cargo bench --bench rate_limit`.
//!
//! Ours are measured through `Policy::decide` on the head of a request that is there already, so each check also reads
//! an extension, hashes the key with SipHash and builds the grant; governor's are measured through `check_key`, which
//! hashes with SipHash as well. Both read their own clocks, except where the time is given. No request is over its
//! limit.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    convert::Infallible,
    fs,
    hint::black_box,
    num::NonZeroU32,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Body;
use governor::{
    DefaultKeyedRateLimiter, RateLimiter,
    clock::{self, FakeRelativeClock},
    middleware::NoOpMiddleware,
    state::keyed::DashMapStateStore,
};
use http::{Request, Response, StatusCode, request};
use palisade::{
    Clock, Decision, Policy, PolicyLayer, SystemClock,
    rate_limit::{Key, Quota, QuotaHeaders, RateLimit, by},
};
use palisade_benches::{Counting, asking, compare, is_measured};
use tower::{Layer, service_fn};
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Who is calling, as a policy further out has left it on the request. Shared, so that the next key costs no look-up.
#[derive(Clone, Debug, Default)]
struct Client(Arc<AtomicU64>);

impl Client {
    fn key(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A thread's request, and the client that is on it.
struct Asking {
    head: request::Parts,
    client: Client,
}

/// The largest limit that takes 16 bytes a key.
const LIMIT: u32 = 65_534;
const HOUR: Duration = Duration::from_secs(3600);

fn main() {
    let quick = !is_measured();
    let sizes: &[usize] = if quick { &[1, 1000] } else { &[1, 100_000, 1_000_000, 10_000_000] };
    for keys in sizes {
        if wanted(&format!("{keys} keys")) {
            checks(*keys, quick);
        }
    }
    if wanted("growth") {
        growth(if quick { 1000 } else { 2_000_000 });
    }
    if wanted("memory") {
        memory(if quick { 10_000 } else { 4_000_000 });
    }
    if wanted("layers") {
        layers();
    }
}

/// `cargo bench --bench rate_limit -- growth` measures one of them: the sizes are `100000 keys` and so on.
fn wanted(part: &str) -> bool {
    let mut parts = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    parts.next().is_none_or(|wanted| part.starts_with(&wanted))
}

/// What a limiter is asked.
trait Limiter: Sync {
    fn passes(&self, asking: &Asking, key: u64) -> bool;
}

impl<K: Key> Limiter for RateLimit<K> {
    #[inline]
    fn passes(&self, asking: &Asking, key: u64) -> bool {
        asking.client.0.store(key, Ordering::Relaxed);
        matches!(self.decide(&asking.head), Decision::Now(Ok(_)))
    }
}

impl<C: clock::Clock + Sync> Limiter
    for RateLimiter<u64, DashMapStateStore<u64>, C, NoOpMiddleware<C::Instant>>
where
    C::Instant: Sync,
{
    #[inline]
    fn passes(&self, _: &Asking, key: u64) -> bool {
        self.check_key(&key).is_ok()
    }
}

impl Asking {
    fn new() -> Self {
        let (mut head, ()) = Request::new(()).into_parts();
        let client = Client::default();
        head.extensions.insert(client.clone());
        Self { head, client }
    }
}

fn ours(quota: Quota, keys: usize, clock: Arc<dyn Clock>) -> RateLimit<impl Key> {
    let client = by(|head: &request::Parts| head.extensions.get().map(Client::key));
    RateLimit::per_key(client, quota).capacity(keys).clock(clock).build().expect("a limit")
}

/// Time that is given: two microseconds pass from each reading to the next.
#[derive(Default)]
struct Given(AtomicU64);

impl Clock for Given {
    fn unix(&self) -> Duration {
        self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now + 2000, Ordering::Relaxed);
        Duration::from_nanos(now)
    }
}

/// A day in the time of 86 seconds: a key that is asked all the time is never over its limit.
struct Racing;

impl Clock for Racing {
    fn unix(&self) -> Duration {
        SystemClock.unix()
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic().saturating_mul(1000)
    }
}

fn clock_for(keys: usize) -> Arc<dyn Clock> {
    if keys < 10_000 { Arc::new(Racing) } else { SystemClock::shared() }
}

/// A window in which no key exceeds [`LIMIT`].
fn window_for(keys: usize) -> Duration {
    if keys < 10_000 { Duration::from_millis(100) } else { HOUR }
}

fn governor_quota() -> governor::Quota {
    governor::Quota::with_period(Duration::from_nanos(1))
        .expect("a period")
        .allow_burst(NonZeroU32::MAX)
}

/// SplitMix64: which key is next.
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

struct Subject<'a> {
    name: &'static str,
    limiter: &'a dyn Limiter,
    /// Nanoseconds a check, of one thread and of each of two.
    nanos: [Vec<f64>; 2],
}

impl<'a> Subject<'a> {
    fn new(name: &'static str, limiter: &'a dyn Limiter) -> Self {
        Self { name, limiter, nanos: [Vec::new(), Vec::new()] }
    }

    /// Runs a round on so many threads, and answers how long each check took each of them.
    fn round(&self, keys: usize, threads: u64, round: u64, checks: u64) -> f64 {
        let barrier = Barrier::new(threads as usize);
        let run = |thread: u64| {
            let asking = Asking::new();
            let mut next = mixed(round * threads + thread);
            barrier.wait();
            let start = Instant::now();
            for _ in 0..checks {
                next = mixed(next.wrapping_add(1));
                let key = ((u128::from(next) * keys as u128) >> 64) as u64;
                let passes = self.limiter.passes(&asking, key);
                assert!(passes, "{} refuses {key}", self.name);
            }
            start.elapsed().as_nanos() as f64 / checks as f64
        };
        if threads == 1 {
            return run(0);
        }
        std::thread::scope(|scope| {
            let run = &run;
            let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
            let all = all.into_iter().map(|thread| thread.join().expect("a round"));
            all.sum::<f64>() / threads as f64
        })
    }
}

/// Keys that are known already, asked in no order.
fn checks(keys: usize, quick: bool) {
    let (window, clock) = (window_for(keys), clock_for(keys));
    let given: Arc<dyn Clock> = Arc::new(Given::default());
    let narrow = ours(Quota::per(LIMIT, window), keys, Arc::clone(&clock));
    let wide = ours(Quota::per(u32::MAX, window), keys, Arc::clone(&clock));
    let gcra =
        ours(Quota::per(100_000_000, Duration::from_millis(100)).gcra(), keys, Arc::clone(&clock));
    let strict = ours(Quota::per(u32::MAX, window).strict(), keys, clock);
    let given_narrow = ours(Quota::per(LIMIT, window), keys, given);
    let peer: DefaultKeyedRateLimiter<u64> = RateLimiter::keyed(governor_quota());
    let frozen = governor::Quota::with_period(Duration::from_nanos(1)).expect("a period");
    let frozen = frozen.allow_burst(NonZeroU32::MAX);
    let given_peer = RateLimiter::dashmap_with_clock(frozen, FakeRelativeClock::default());

    let mut subjects = vec![
        Subject::new("governor, DashMap", &peer),
        Subject::new("sliding window", &narrow),
        Subject::new("sliding window, limit over 65,534", &wide),
        Subject::new("gcra", &gcra),
        Subject::new("strict", &strict),
    ];
    if keys < 10_000_000 {
        subjects.push(Subject::new("governor, time given", &given_peer));
        subjects.push(Subject::new("sliding window, time given", &given_narrow));
    }
    let asking = Asking::new();
    for key in 0..keys as u64 {
        for subject in &subjects {
            subject.limiter.passes(&asking, key);
        }
    }
    let (rounds, each) = if quick { (3, 100) } else { (401, 4000) };
    for round in 0..rounds {
        for subject in &mut subjects {
            for (at, threads) in [1, 2].into_iter().enumerate() {
                let nanos = subject.round(keys, threads, round, each);
                subject.nanos[at].push(nanos);
            }
        }
    }
    println!("## {keys} keys\n");
    println!("| ns per check | 1 thread | of governor | 2 threads, each | of governor |");
    println!("|---|--:|--:|--:|--:|");
    let mut base = [1.0; 2];
    for (at, subject) in subjects.iter_mut().enumerate() {
        let medians = subject.nanos.each_mut().map(|nanos| median(nanos));
        if at == 0 || subject.name == "governor, time given" {
            base = medians;
        }
        let [one, two] = medians;
        let (of_one, of_two) = (one / base[0], two / base[1]);
        println!("| {} | {one:.1} | {of_one:.2} | {two:.1} | {of_two:.2} |", subject.name);
    }
    println!();
}

/// How long single checks take while two threads bring new keys all the time, and then ask the same again.
fn growth(keys: usize) {
    let narrow = ours(Quota::per(LIMIT, HOUR), keys, SystemClock::shared());
    let strict = ours(Quota::per(LIMIT, HOUR).strict(), keys, SystemClock::shared());
    let gcra = ours(Quota::per(LIMIT, HOUR).gcra(), keys, SystemClock::shared());
    let peer: DefaultKeyedRateLimiter<u64> = RateLimiter::keyed(governor_quota());
    println!("## {keys} new keys, 2 threads\n");
    println!("| ns per check | p50 | p99 | p99.9 | p99.99 | longest |");
    println!("|---|--:|--:|--:|--:|--:|");
    let subjects: [(&str, &dyn Limiter); 4] = [
        ("governor, DashMap", &peer),
        ("sliding window", &narrow),
        ("gcra", &gcra),
        ("strict", &strict),
    ];
    for (name, limiter) in subjects {
        for phase in ["new keys", "known keys"] {
            let barrier = Barrier::new(2);
            let run = |thread: u64| {
                let asking = Asking::new();
                let mut nanos = Vec::with_capacity(keys / 2);
                barrier.wait();
                for n in 0..keys as u64 / 2 {
                    let key = mixed(n * 2 + thread);
                    let start = Instant::now();
                    black_box(limiter.passes(&asking, key));
                    nanos.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
                }
                nanos
            };
            let mut nanos = std::thread::scope(|scope| {
                let other = scope.spawn(|| run(1));
                let mut nanos = run(0);
                nanos.extend(other.join().expect("a thread"));
                nanos
            });
            nanos.sort_unstable();
            let at = |part: f64| nanos[((nanos.len() - 1) as f64 * part) as usize];
            println!(
                "| {name}, {phase} | {} | {} | {} | {} | {} |",
                at(0.5),
                at(0.99),
                at(0.999),
                at(0.9999),
                at(1.0)
            );
        }
    }
    println!();
}

/// What governor's store occupies when its keys have come, by what the machine gave; and ours, as they say.
fn memory(keys: usize) {
    println!("## Memory of {keys} keys\n");
    println!("| | bytes a key |");
    println!("|---|--:|");
    let of = |bytes: usize| bytes as f64 / keys as f64;
    let before = resident();
    let peer = DefaultKeyedRateLimiter::<u64>::keyed(governor_quota());
    let asking = Asking::new();
    for key in 0..keys as u64 {
        peer.passes(&asking, mixed(key));
    }
    println!("| governor, DashMap | {:.1} |", of(resident().saturating_sub(before)));
    for (name, quota) in [
        ("sliding window", Quota::per(LIMIT, HOUR)),
        ("sliding window, limit over 65,534", Quota::per(u32::MAX, HOUR)),
        ("gcra", Quota::per(LIMIT, HOUR).gcra()),
        ("strict", Quota::per(LIMIT, HOUR).strict()),
    ] {
        let bytes = ours(quota, keys, SystemClock::shared()).table_bytes();
        println!("| {name} | {:.1} |", of(bytes));
    }
    println!();
}

/// The pages that this process occupies, in bytes; 0 where there is no `/proc`.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[derive(Clone, Debug)]
struct ByClient;

impl KeyExtractor for ByClient {
    type Key = u64;

    fn extract<T>(&self, request: &Request<T>) -> Result<u64, GovernorError> {
        let client = request.extensions().get().map(Client::key);
        client.ok_or(GovernorError::UnableToExtractKey)
    }
}

/// Whole layers around a service that answers at once.
fn layers() {
    let bare =
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let client = Client::default();
    let get = || {
        let request = Request::get("/").header("accept", "*/*").extension(client.clone());
        request.body(Body::empty()).expect("a request")
    };
    let is_ok = |response: &Response<Body>| response.status() == StatusCode::OK;
    let mut config = GovernorConfigBuilder::default().key_extractor(ByClient);
    config.per_nanosecond(1).burst_size(u32::MAX);
    let plain = GovernorLayer::new(config.finish().expect("a configuration"));
    let told = GovernorLayer::new(config.use_headers().finish().expect("a configuration"));

    let quota = || Quota::per(LIMIT, Duration::from_millis(100)).named("default");
    let with = |quota: Quota, headers| {
        let client = by(|head: &request::Parts| head.extensions.get().map(Client::key));
        let limit = RateLimit::per_key(client, quota).clock(Arc::new(Racing)).headers(headers);
        PolicyLayer::new(limit.build().expect("a limit"))
    };
    let is_ok_too = |response: &Response<palisade::Body<Body>>| response.status() == StatusCode::OK;
    let silent = with(quota(), QuotaHeaders::None).layer(bare);
    let older = with(quota(), QuotaHeaders::XRateLimit).layer(bare);
    let draft = with(quota(), QuotaHeaders::Draft10).layer(bare);
    compare(
        "Whole layers",
        &mut [
            asking("bare service", bare, get, is_ok),
            asking("tower_governor", plain.layer(bare), get, is_ok),
            asking("ours, no fields", silent, get, is_ok_too),
            asking("tower_governor, X-RateLimit", told.layer(bare), get, is_ok),
            asking("ours, X-RateLimit", older, get, is_ok_too),
            asking("ours, RateLimit of the draft", draft, get, is_ok_too),
        ],
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
