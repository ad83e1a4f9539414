//! Several machines, one limit.

mod support;

use std::{
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use palisade_rate_limit::{Action, Fit, Quota, Refund, Store};
use palisade_rate_limit_redis::{Redis, RedisStore, testing::RedisServer};
use support::{Client, MINUTE};

const SERVER: &str = "PALISADE_TEST_REDIS_URL";

fn patient(url: impl Into<String>) -> RedisStore {
    let redis = Redis::builder(url)
        .response_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(10));
    RedisStore::new(redis.build().expect("a server"))
}

/// The limits that the processes share: each admits 100 in an hour, by any algorithm. A window that ended in between
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
        Client::new(&patient(url), "shared", [quota, ample]).with_key(number as u64)
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
async fn four_processes_admit_100_of_1000_requests() {
    // This test is also the program of the processes.
    if let Ok(url) = std::env::var(SERVER) {
        println!("ADMITTED {:?}", hits(&url).await);
        return;
    }
    let Some(server) = RedisServer::start() else { return };
    let program = std::env::current_exe().expect("this program");
    let processes = (0..4).map(|_| {
        let mut command = Command::new(&program);
        let test = "four_processes_admit_100_of_1000_requests";
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
async fn every_key_expires_once_it_is_irrelevant() {
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
        client.refund(verdict.charged.unwrap_or(0), verdict.moment).await;
    }
    let keys = server.keys();
    let (marks, counts): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.contains(":r:"));
    assert!(counts.len() == 1 && !marks.is_empty(), "{keys:?}");
    assert_eq!(server.keys_without_expiry(), [""; 0]);
    let lifetime = |key: &str| server.command(&["PTTL", key])[0].parse::<i64>().expect("a time");
    // A second more than the longest of the formulas needs.
    assert!((60_000..=123_000).contains(&lifetime(counts[0])));
    assert!(marks.iter().all(|mark| (60_000..=120_000).contains(&lifetime(mark))));
    for (quota, most) in [
        (Quota::per(10, MINUTE), 121_000),
        (Quota::per(10, MINUTE).strict(), 68_500),
        (Quota::per(10, MINUTE).gcra(), 122_000),
        (Quota::per(10, MINUTE).fixed_window(), 61_000),
        (Quota::per(10, MINUTE).exact_log(), 61_000),
    ] {
        let alone = Client::new(&store, &format!("{:?}", quota.algorithm()), [quota]);
        let before = server.keys();
        alone.charge(10).await;
        let own = server.keys().into_iter().find(|key| !before.contains(key)).expect("a key");
        assert!((0..=most).contains(&lifetime(&own)), "{own}: {}", lifetime(&own));
    }

    let brief = Client::new(&store, "brief", [Quota::per(3, Duration::from_millis(20))]);
    let before = server.keys();
    brief.charge(1).await;
    let own = server.keys().into_iter().find(|key| !before.contains(key)).expect("a key");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(!server.keys().contains(&own));
}

#[tokio::test]
async fn time_is_read_from_the_server() {
    let Some(server) = RedisServer::start() else { return };
    let client = Client::new(&patient(server.url()), "api", [Quota::per(10, MINUTE)]);
    let server_time = || server.command(&["TIME"])[0].parse::<u64>().expect("seconds");
    let before = server_time();
    let moment = client.charge(1).await.moment;
    assert!((before..=server_time()).contains(&(moment / 1000)), "{before}, {moment}");
}

#[tokio::test]
async fn request_is_admitted_exactly_after_the_wait() {
    let Some(server) = RedisServer::start() else { return };
    let quotas = [Quota::per(5, Duration::from_millis(400)).exact_log()];
    let client = Client::new(&patient(server.url()), "api", quotas);
    client.charge(5).await;
    let Fit::After(wait) = client.charge(1).await.readings[0].fit else { panic!("it is refused") };
    assert!(wait <= Duration::from_millis(400));
    tokio::time::sleep(wait + Duration::from_millis(1)).await;
    assert_eq!(client.charge(5).await.charged, Some(5));
}

#[tokio::test]
async fn limits_prefixes_and_clients_do_not_share_counts() {
    let Some(server) = RedisServer::start() else { return };
    let store = patient(server.url());
    let other =
        Redis::builder(server.url()).prefix("other").response_timeout(Duration::from_secs(10));
    let other = RedisStore::new(other.build().expect("a server"));
    let quotas = [Quota::per(1, MINUTE).fixed_window(), Quota::per(10, MINUTE * 2).named("b")];
    let client = Client::new(&store, "api", quotas);
    let strangers = [
        client.with_key(1),
        Client { limit: "api2".into(), ..client.clone() },
        Client { store: other, ..client.clone() },
        Client { quotas: [Quota::per(1, MINUTE).named("c")].into(), ..client.clone() },
    ];
    assert_eq!(client.charge(1).await.charged, Some(1));
    for stranger in strangers {
        assert_eq!(stranger.charge(1).await.charged, Some(1), "{:?}", stranger.limit);
    }
    assert_eq!(server.command(&["KEYS", "other:api:{*}"]).len(), 1);
}

#[tokio::test]
async fn quota_that_cannot_be_counted_is_an_error_of_the_charge() {
    let Some(server) = RedisServer::start() else { return };
    let store = patient(server.url());
    let quota = Quota::per(3, Duration::from_nanos(1));
    assert!(store.supports(&quota).is_err());
    let error = Client::new(&store, "api", [quota]).try_charge(1).await.unwrap_err();
    assert!(error.to_string().contains("whole ones"), "{error}");
    let error = Client::new(&store, "api", []).try_charge(1).await.unwrap_err();
    assert!(error.to_string().contains("without quotas"), "{error}");
}

#[tokio::test]
async fn corrupt_value_is_replaced_and_affects_its_key_only() {
    let Some(server) = RedisServer::start() else { return };
    for quota in [
        Quota::per(10, MINUTE),
        Quota::per(10, MINUTE).strict(),
        Quota::per(10, MINUTE).gcra(),
        Quota::per(10, MINUTE).fixed_window(),
        Quota::per(10, MINUTE).exact_log(),
    ] {
        let client = Client::new(&patient(server.url()), "api", [quota.clone()]);
        client.charge(1).await;
        let key = server.keys().remove(0);
        let field = server.command(&["HKEYS", &key]).remove(0);
        for broken in
            [&["HSET", &key, &field, "x"][..], &["SET", &key, "nonsense"], &["RPUSH", &key, "x"]]
        {
            if broken[0] == "RPUSH" {
                server.command(&["DEL", &key]);
            }
            server.command(broken);
            client.refund(1, 1).await;
            assert_eq!(client.charge(1).await.readings[0].remaining, 9, "{quota:?}, {broken:?}");
            assert_eq!(client.charge(1).await.readings[0].remaining, 8, "{quota:?}, {broken:?}");
            assert_eq!(server.keys_without_expiry(), [""; 0], "{quota:?}, {broken:?}");
        }
        server.command(&["FLUSHALL"]);
    }
}

#[tokio::test]
async fn repeated_refund_is_applied_once() {
    let Some(server) = RedisServer::start() else { return };
    let client = Client::new(&patient(server.url()), "api", [Quota::per(10, MINUTE * 60)]);
    let moment = client.charge(5).await.moment;
    for _ in 0..4 {
        let (limit, quotas) = (client.limit.clone(), client.quotas.clone());
        let refund = Refund { limit, key: client.key, quotas, amount: 1, moment, id: u64::MAX };
        client.store.refund(refund).await.expect("a refund");
    }
    assert_eq!(client.remaining().await, 6);
}

#[tokio::test]
async fn a_key_is_reset_blocked_and_unblocked() {
    let Some(server) = RedisServer::start() else { return };
    let quotas = [Quota::per(3, MINUTE * 60).fixed_window(), Quota::per(9, MINUTE * 60).gcra()];
    let client = Client::new(&patient(server.url()), "api", quotas);
    client.charge(3).await;
    assert_eq!(client.charge(1).await.charged, None);
    client.intervene(Action::Reset).await;
    assert!(server.keys().is_empty());
    assert_eq!(client.charge(1).await.charged, Some(1));

    client.intervene(Action::Block(MINUTE)).await;
    let blocked = client.charge(1).await;
    let block = blocked.block.expect("a block");
    assert!(block.rest <= MINUTE && block.rest > MINUTE / 2 && !block.is_new, "{block:?}");
    // What it has left stays, and so does a look at it.
    assert_eq!((blocked.charged, blocked.readings[0].remaining), (None, 2));
    assert_eq!(client.remaining().await, 2);
    assert_eq!(client.with_key(1).charge(1).await.charged, Some(1), "another key is not blocked");
    // A reset leaves the block, and an end of the block leaves the counts.
    client.intervene(Action::Reset).await;
    assert_eq!(client.charge(1).await.charged, None);
    client.intervene(Action::Unblock).await;
    assert_eq!(client.charge(2).await.charged, Some(2));
    client.intervene(Action::Block(MINUTE)).await;
    client.intervene(Action::Unblock).await;
    assert_eq!(client.remaining().await, 1);
    assert_eq!(server.keys_without_expiry(), [""; 0]);

    client.intervene(Action::Block(Duration::from_millis(50))).await;
    assert_eq!(client.charge(1).await.charged, None);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(client.charge(1).await.charged, Some(1), "the block is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_actions_are_announced_to_other_machines() {
    let Some(server) = RedisServer::start() else { return };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let other = patient(server.url());
    let into = Arc::clone(&heard);
    other.subscribe(
        &"api".into(),
        Arc::new(move |key: &[u8; 16]| {
            into.lock().unwrap().push(*key);
            true
        }),
    );
    other.ready().await.expect("a connection");
    let client = Client::new(&patient(server.url()), "api", [Quota::per(3, MINUTE)]);
    let stranger = Client { limit: "another".into(), ..client.clone() };
    stranger.intervene(Action::Reset).await;
    client.intervene(Action::Reset).await;
    for _ in 0..200 {
        if !heard.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(*heard.lock().unwrap(), [client.key]);
}
