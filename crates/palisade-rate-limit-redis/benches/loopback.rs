//! What a decision takes on a server on the same machine, in time and in the server's CPU, and what it takes with the command
//! sequences of other limiters: `cargo bench -p palisade-rate-limit-redis`. With `PALISADE_TEST_REDIS` naming another
//! server, on that.
#![allow(clippy::disallowed_methods, reason = "what is measured is the time of the real clock")]
#![allow(missing_docs)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use palisade_rate_limit::{Ban, Demand, Quota, Store};
use palisade_rate_limit_redis::{Redis, RedisStore, testing::RedisServer};

const HOUR: Duration = Duration::from_secs(3600);
const TASKS: u64 = 64;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    if !measured {
        println!(
            "TEST MODE: NOTHING IS MEASURED, and figures below mean nothing. `cargo bench` measures."
        );
    }
    let rounds = if measured { 20_000 } else { 20 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure(rounds));
}

async fn measure(rounds: u64) {
    let Some(server) = RedisServer::start() else { return };
    let redis = Redis::builder(server.url()).response_timeout(Duration::from_secs(5)).build();
    let store = RedisStore::new(redis.expect("a server"));
    compare(&server, &store, rounds).await;
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
            let limit = name.into();
            store.charge(Demand { limit, key: digest, quotas, cost: 1, most: 1, ban: None })
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

/// The sliding window of Upstash's rate limiter, as its documentation describes it: a counter for each window, of which the
/// previous one is weighted by the part of it that the window still covers. The caller tells the time and the names.
const UPSTASH: &str = "
local current, previous = tonumber(redis.call('GET', KEYS[1]) or 0), tonumber(redis.call('GET', KEYS[2]) or 0)
local tokens, now, window, step = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local weighted = math.floor((1 - (now % window) / window) * previous)
if weighted + current >= tokens then return -1 end
local count = redis.call('INCRBY', KEYS[1], step)
if count == step then redis.call('PEXPIRE', KEYS[1], window * 2 + 1000) end
return tokens - (count + weighted)
";

/// The rounds in which the limiters take turns: what else runs on the machine then slows all of them alike.
const TURNS: u32 = 9;

/// The server's CPU for a decision, from 16 tasks on one connection: medians over all rounds, and those of the ratios to
/// Upstash's script in the same round.
async fn compare(server: &RedisServer, store: &RedisStore, rounds: u64) {
    const MINUTE: u64 = 60_000;
    let client = redis::Client::open(server.url()).expect("a URL");
    let connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let upstash = redis::Script::new(UPSTASH);
    let windows = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = u64::try_from(now.expect("after 1970").as_millis()).expect("64 bits");
        (now, now / MINUTE)
    };
    let name = |key: u64| format!("{{{:032x}}}", u128::from(key) << 64);
    let quota = Quota::per(1_000_000, Duration::from_secs(60));
    let hour = Quota::per(1_000_000, HOUR).named("hour");
    let ban = Ban::after(50, Duration::from_secs(60));
    let ours: [(&str, Vec<Quota>, Option<Ban>); 6] = [
        ("palisade, sliding window", vec![quota.clone()], None),
        ("palisade, sliding, with a ban", vec![quota.clone()], Some(ban)),
        ("palisade, two sliding", vec![quota.clone(), hour], None),
        ("palisade, fixed window", vec![quota.clone().fixed_window()], None),
        ("palisade, gcra", vec![quota.clone().gcra()], None),
        ("palisade, strict", vec![quota.strict()], None),
    ];
    let ours = ours.map(|(name, quotas, ban)| (name, Arc::<[Quota]>::from(quotas), ban));
    let mut costs: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    costs.push(("upstash, sliding window", Vec::new()));
    costs.push(("envoy, fixed window", Vec::new()));
    costs.extend(ours.iter().map(|(name, ..)| (*name, Vec::new())));
    for _ in 0..TURNS {
        let ask = async |key: u64| {
            let ((now, window), mut connection) = (windows(), connection.clone());
            let keys =
                [format!("u:{}:{window}", name(key)), format!("u:{}:{}", name(key), window - 1)];
            let mut call = upstash.prepare_invoke();
            call.key(&keys[..]).arg(1_000_000).arg(now).arg(MINUTE).arg(1);
            let _: i64 = call.invoke_async(&mut connection).await.expect("a decision");
        };
        costs[0].1.push(cost(server, true, rounds, ask).await);
        let ask = async |key: u64| {
            let ((_, window), mut connection) = (windows(), connection.clone());
            let key = format!("e:{}:{window}", name(key));
            let mut call = redis::pipe();
            call.cmd("INCRBY").arg(&key).arg(1).cmd("EXPIRE").arg(&key).arg(60).ignore();
            let _: (i64,) = call.query_async(&mut connection).await.expect("a decision");
        };
        costs[1].1.push(cost(server, false, rounds, ask).await);
        for ((name, quotas, ban), (_, costs)) in ours.iter().zip(&mut costs[2..]) {
            let ask = async |key: u64| {
                let mut digest = [0; 16];
                digest[..8].copy_from_slice(&key.to_be_bytes());
                let (limit, quotas) = ((*name).into(), Arc::clone(quotas));
                let demand = Demand { limit, key: digest, quotas, cost: 1, most: 1, ban: *ban };
                store.charge(demand).await.expect("a verdict");
            };
            costs.push(cost(server, true, rounds, ask).await);
        }
    }
    println!(
        "CPU of the server for a decision, in microseconds, and times that of Upstash's script"
    );
    println!("{:31} {:>13} {:>15}", "", "used", "in commands");
    let base = costs[0].1.clone();
    for (name, costs) in &costs {
        let ratios = costs.iter().zip(&base).map(|(own, base)| (own.0 / base.0, own.1 / base.1));
        let (used, commands) = medians(costs.iter().copied());
        let (used_ratio, commands_ratio) = medians(ratios);
        println!("{name:31} {used:6.2} {used_ratio:5.2}x {commands:8.2} {commands_ratio:5.2}x");
    }
}

fn medians(pairs: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let (mut first, mut second): (Vec<_>, Vec<_>) = pairs.unzip();
    for column in [&mut first, &mut second] {
        column.sort_by(f64::total_cmp);
    }
    (first[first.len() / 2], second[second.len() / 2])
}

/// Returns the server's CPU time for a decision, and that within commands.
async fn cost(
    server: &RedisServer,
    by_script: bool,
    rounds: u64,
    ask: impl AsyncFn(u64),
) -> (f64, f64) {
    for key in 0..100 {
        ask(key).await;
    }
    let before = used(server, by_script);
    let ask = &ask;
    // All on one task: what is measured is the server.
    for round in 0..rounds / 8 {
        let mut asked = Vec::new();
        for task in 0..16 {
            asked.push(Box::pin(ask((round * 16 + task) % 100)));
        }
        std::future::poll_fn(|cx| {
            asked.retain_mut(|asked| asked.as_mut().poll(cx).is_pending());
            if asked.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
    let after = used(server, by_script);
    let decisions = (rounds / 8 * 16).max(1) as f64;
    let each = |before: f64, after: f64| (after - before) / decisions;
    (each(before.0, after.0), each(before.1, after.1))
}

/// The CPU time of the server, and that of the commands that clients sent, in microseconds.
fn used(server: &RedisServer, by_script: bool) -> (f64, f64) {
    let sum = |section: &str, of: &dyn Fn(&str) -> Option<f64>| -> f64 {
        server.command(&["INFO", section]).concat().lines().filter_map(of).sum()
    };
    let cpu = sum("cpu", &|line| {
        let (name, value) = line.split_once(':')?;
        ["used_cpu_sys", "used_cpu_user"]
            .contains(&name)
            .then(|| value.trim().parse::<f64>().ok())?
    });
    let commands = sum("commandstats", &|line| {
        // What a script calls is in its own time.
        let sent = if by_script { &["evalsha"][..] } else { &["incrby", "expire"] };
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let usec = rest.split(',').find_map(|part| part.strip_prefix("usec="))?;
        sent.contains(&name).then(|| usec.parse::<f64>().ok())?
    });
    (cpu * 1e6, commands)
}
