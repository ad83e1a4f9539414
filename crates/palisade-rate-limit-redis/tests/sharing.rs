//! Several machines, one limit.

mod support;

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use palisade_rate_limit::{Quota, Store};
use palisade_rate_limit_redis::{Redis, RedisStore, testing::RedisServer};
use support::{Client, MINUTE};

const SERVER: &str = "PALISADE_TEST_REDIS_URL";

fn patient(url: impl Into<String>) -> RedisStore {
    let redis = Redis::builder(url)
        .response_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(10));
    RedisStore::new(redis.build().expect("a server"))
}

/// The limits that the processes share: each admits 100 in an hour, by whatever algorithm. A window that ended in between
/// would admit more, and so the one that has them is too long to end.
fn shared_limits(url: &str) -> Vec<Client> {
    let years = Duration::from_secs(86_400 * 365 * 100);
    [
        Quota::per(100, years),
        Quota::per(100, years).strict(),
        Quota::per(100, years).gcra(),
        Quota::per(100, years).fixed_window(),
        Quota::per(100, years).exact_log(),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, quota)| {
        let ample = Quota::per(5000, MINUTE).named("ample");
        Client::new(&patient(url), "shared", [quota, ample]).of(number as u64)
    })
    .collect()
}

/// Hits each limit 250 times at once.
async fn hits(url: &str) -> Vec<usize> {
    let mut admitted = Vec::new();
    for client in shared_limits(url) {
        let hits = (0..250).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.charge(1).await.charged.is_some() })
        });
        let mut passed = 0;
        for hit in hits.collect::<Vec<_>>() {
            passed += usize::from(hit.await.expect("a verdict"));
        }
        admitted.push(passed);
    }
    admitted
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_parallel_hits_from_four_processes_a_limit_of_100_admits_100() {
    // This test is also the program of the processes.
    if let Ok(url) = std::env::var(SERVER) {
        println!("ADMITTED {:?}", hits(&url).await);
        return;
    }
    let Some(server) = RedisServer::start() else { return };
    let program = std::env::current_exe().expect("this program");
    let processes = (0..4).map(|_| {
        let mut command = Command::new(&program);
        let test = "of_a_thousand_parallel_hits_from_four_processes_a_limit_of_100_admits_100";
        command.args(["--exact", test, "--nocapture"]).env(SERVER, server.url());
        command.stdout(Stdio::piped()).spawn().expect("a process")
    });
    let mut totals = vec![0; 5];
    for process in processes.collect::<Vec<_>>() {
        let output = process.wait_with_output().expect("its output");
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let admitted = output.split_once("ADMITTED [").and_then(|(_, rest)| rest.split_once(']'));
        let (admitted, _) = admitted.unwrap_or_else(|| panic!("{output}"));
        for (total, admitted) in totals.iter_mut().zip(admitted.split(", ")) {
            *total += admitted.parse::<usize>().expect("a number");
        }
    }
    assert_eq!(totals, [100; 5]);
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn every_key_expires_when_it_means_nothing_any_more() {
    let Some(server) = RedisServer::start() else { return };
    let store = patient(server.url());
    let quotas = [
        Quota::per(10, MINUTE).named("sliding"),
        Quota::per(10, MINUTE).strict().named("strict"),
        Quota::per(10, MINUTE).gcra().named("gcra"),
        Quota::per(10, MINUTE).fixed_window().named("fixed"),
        Quota::per(10, MINUTE).exact_log().named("log"),
    ];
    let client = Client::new(&store, "api", quotas);
    for _ in 0..12 {
        let verdict = client.charge(1).await;
        client.refund(verdict.charged.unwrap_or(0) / 2, verdict.moment).await;
    }
    assert_eq!(server.keys().len(), 5);
    assert_eq!(server.keys_without_expiry(), [""; 0]);
    // A second more than the formulas need, and a tick of the clock.
    for key in server.keys() {
        let lifetime = server.command(&["PTTL", &key])[0].parse::<i64>().expect("a time");
        let most = match key.rsplit(':').nth(1) {
            Some("s60000") => 121_000,
            Some("t60000") => 68_500,
            _ => 61_000,
        };
        assert!((0..=most).contains(&lifetime), "{key}: {lifetime}");
    }

    let brief = Client::new(&store, "brief", [Quota::per(3, Duration::from_millis(20))]);
    let keys = server.keys().len();
    brief.charge(1).await;
    assert_eq!(server.keys().len(), keys + 1);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(server.keys().len(), keys);
}

#[tokio::test]
async fn the_server_tells_the_time() {
    let Some(server) = RedisServer::start() else { return };
    let client = Client::new(&patient(server.url()), "api", [Quota::per(10, MINUTE)]);
    let server_time = || server.command(&["TIME"])[0].parse::<u64>().expect("seconds");
    let before = server_time();
    let moment = client.charge(1).await.moment;
    assert!((before..=server_time()).contains(&(moment / 1000)), "{before}, {moment}");
}

#[tokio::test]
async fn after_exactly_the_wait_it_is_admitted() {
    let Some(server) = RedisServer::start() else { return };
    let quotas = [Quota::per(5, Duration::from_millis(400)).exact_log()];
    let client = Client::new(&patient(server.url()), "api", quotas);
    client.charge(5).await;
    let palisade_rate_limit::Fit::After(wait) = client.charge(1).await.readings[0].fit else {
        panic!("it is refused")
    };
    assert!(wait <= Duration::from_millis(400));
    tokio::time::sleep(wait + Duration::from_millis(1)).await;
    assert_eq!(client.charge(5).await.charged, Some(5));
}

#[tokio::test]
async fn limits_and_prefixes_and_clients_do_not_share_counts() {
    let Some(server) = RedisServer::start() else { return };
    let store = patient(server.url());
    let other =
        Redis::builder(server.url()).prefix("other").response_timeout(Duration::from_secs(10));
    let other = RedisStore::new(other.build().expect("a server"));
    let quotas = [Quota::per(1, MINUTE).fixed_window(), Quota::per(10, MINUTE * 2).named("b")];
    let client = Client::new(&store, "api", quotas);
    let strangers = [
        client.of(1),
        Client { limit: "api2".into(), ..client.clone() },
        Client { store: other, ..client.clone() },
        Client { quotas: [Quota::per(1, MINUTE).named("c")].into(), ..client.clone() },
    ];
    assert_eq!(client.charge(1).await.charged, Some(1));
    for stranger in strangers {
        assert_eq!(stranger.charge(1).await.charged, Some(1), "{:?}", stranger.limit);
    }
    assert_eq!(server.command(&["KEYS", "other:api:{*}:f60000:0"]).len(), 1);
}

#[tokio::test]
async fn a_quota_that_cannot_be_counted_is_an_error_where_it_is_asked_for() {
    let Some(server) = RedisServer::start() else { return };
    let store = patient(server.url());
    let quota = Quota::concurrency(3);
    assert!(store.supports(&quota).is_err());
    let error = Client::new(&store, "api", [quota]).try_charge(1).await.unwrap_err();
    assert!(error.to_string().contains("within one process"), "{error}");
    let error = Client::new(&store, "api", []).try_charge(1).await.unwrap_err();
    assert!(error.to_string().contains("without quotas"), "{error}");
}

#[tokio::test]
async fn a_key_that_is_not_ours_is_an_error_and_not_overwritten() {
    let Some(server) = RedisServer::start() else { return };
    let client = Client::new(&patient(server.url()), "api", [Quota::per(10, MINUTE)]);
    client.charge(1).await;
    let key = server.keys().remove(0);
    for foreign in [&["SET", &key, "nonsense"][..], &["SET", &key, "1 2"]] {
        server.command(foreign);
        let error = client.try_charge(1).await.unwrap_err();
        assert!(error.to_string().contains("not a count"), "{error}");
    }
    server.command(&["DEL", &key]);
    server.command(&["RPUSH", &key, "x"]);
    let error = client.try_charge(1).await.unwrap_err();
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
    assert_eq!(server.command(&["LLEN", &key]), ["1"]);
}
