//! What a decision takes on a server on the same machine: `cargo bench -p palisade-rate-limit-redis`.
#![allow(clippy::disallowed_methods, reason = "what is measured is the time of the real clock")]
#![allow(missing_docs)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use palisade_rate_limit::{Demand, Quota, Store};
use palisade_rate_limit_redis::{Redis, RedisStore, testing::RedisServer};

const HOUR: Duration = Duration::from_secs(3600);
const TASKS: u64 = 64;

fn main() {
    // `cargo test --benches` only wants to know whether it runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 20_000 } else { 20 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure(rounds));
}

async fn measure(rounds: u64) {
    let Some(server) = RedisServer::start() else { return };
    let redis = Redis::builder(server.url()).response_timeout(Duration::from_secs(5)).build();
    let store = RedisStore::new(redis.expect("a server"));
    let ample = 1_000_000;
    let sliding = Quota::per(ample, HOUR);
    let cases: [(&str, Vec<Quota>); 8] = [
        ("one quota, sliding window", vec![sliding.clone()]),
        ("two quotas, sliding window", vec![sliding.clone(), sliding.clone().named("b")]),
        ("strict", vec![sliding.clone().strict()]),
        ("gcra", vec![sliding.clone().gcra()]),
        ("fixed window", vec![sliding.clone().fixed_window()]),
        ("exact log of 5", vec![Quota::per(5, HOUR).exact_log()]),
        ("exact log of 1000, full", vec![Quota::per(1000, HOUR).exact_log()]),
        ("refused", vec![Quota::per(0, HOUR)]),
    ];
    for (name, quotas) in cases {
        let quotas: Arc<[Quota]> = quotas.into();
        let decide = |key: u64| {
            let mut digest = [0; 16];
            digest[..8].copy_from_slice(&key.to_be_bytes());
            let quotas = Arc::clone(&quotas);
            store.charge(Demand { limit: name.into(), key: digest, quotas, cost: 1, most: 1 })
        };
        // the log is full before it is measured
        for _ in 0..if name.contains("full") { 1000 } else { 100 } {
            decide(0).await.expect("a verdict");
        }
        let mut took = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            decide(0).await.expect("a verdict");
            took.push(start.elapsed());
        }
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];

        let start = Instant::now();
        let tasks = (0..TASKS).map(|task| {
            let decisions = (0..rounds / 8).map(|round| decide(task * 100 + round % 100));
            let decisions = decisions.collect::<Vec<_>>();
            tokio::spawn(async move {
                for decision in decisions {
                    decision.await.expect("a verdict");
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("its decisions");
        }
        let throughput = (TASKS * (rounds / 8)) as f64 / start.elapsed().as_secs_f64();
        println!(
            "{name:27} p50 {:>8.1?}  p99 {:>8.1?}  {TASKS} tasks on one connection {throughput:>7.0}/s",
            at(50),
            at(99)
        );
    }
}
