//! Machines that remember together, in a real Redis that is stopped and paused under them.
#![cfg(feature = "redis")]

mod common;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use common::{NOW, at, build, send, send_answering, signed};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use palisade_core::{Body, BoxError};
use palisade_redis::{Redis, testing::RedisServer};
use palisade_webhook::{
    Claim, RedisReplays, ReplayStore, Replays, Reservation, Retention, Standard, Webhook,
};
use tower::{Layer, ServiceExt, service_fn};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY: &str = "palisade:claim:webhook%3A%3Astandard%3Aid%3Amsg_1";
const RETENTION: Retention =
    Retention { at_least: Duration::from_secs(602), at_most: Duration::from_secs(3600) };

/// What a busy machine may take, and a test would rather wait for than fail.
const PATIENCE: Duration = Duration::from_secs(20);

fn redis(server: &RedisServer) -> Redis {
    Redis::builder(server.url())
        .connect_timeout(PATIENCE)
        .response_timeout(PATIENCE)
        .build()
        .unwrap()
}

/// Another machine: nothing is shared but the server.
fn store(server: &RedisServer) -> RedisReplays {
    RedisReplays::new(redis(server))
}

fn layer(store: RedisReplays) -> Webhook {
    build(Webhook::standard(SECRET).replays(Replays::new(store)))
}

fn delivery(id: &str) -> Request<Bytes> {
    let headers = Standard::signer(SECRET).unwrap().sign(id, at(NOW), b"hello").unwrap();
    signed("/", headers, "hello")
}

async fn first(store: &RedisReplays) -> Box<dyn Reservation> {
    match store.claim("a", RETENTION).await.unwrap() {
        Claim::First(reservation) => reservation,
        other => panic!("{other:?}"),
    }
}

/// Milliseconds until a key expires; -1 if it never does, -2 if it is not there.
fn expires_in(server: &RedisServer, key: &str) -> i64 {
    server.command(&["PTTL", key])[0].parse().unwrap()
}

/// Ends a lease, as the time would.
fn end_lease(server: &RedisServer, key: &str) {
    assert_eq!(server.command(&["DEL", key]), ["1"]);
}

/// Polls until a background effect is visible.
async fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_deliveries_at_two_machines_run_the_handler_once() {
    let Some(server) = RedisServer::start() else { return };
    let calls = Arc::new(AtomicUsize::new(0));
    let machine = || {
        let counted = Arc::clone(&calls);
        layer(store(&server)).layer(service_fn(move |_: Request<Body<Full<Bytes>>>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        }))
    };
    let machines = [machine(), machine()];
    let deliveries: Vec<_> = (0..100)
        .map(|n| tokio::spawn(machines[n % 2].clone().oneshot(delivery("msg_1").map(Full::new))))
        .collect();
    for delivery in deliveries {
        let status = delivery.await.unwrap().unwrap().status();
        assert!(status == StatusCode::OK || status == StatusCode::CONFLICT, "{status}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(server.keys(), [KEY]);
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn other_machine_acknowledges_until_retention_ends() {
    let Some(server) = RedisServer::start() else { return };
    let machines = [layer(store(&server)), layer(store(&server))];
    send(&machines[0], delivery("msg_1")).await.assert_passed(b"hello");
    for machine in &machines {
        let again = send(machine, delivery("msg_1")).await;
        assert_eq!((again.status, again.calls), (StatusCode::OK, 0));
    }
    // a day, and at least twice the tolerance
    let day = 24 * 60 * 60 * 1000;
    assert!((day - 60_000..=day).contains(&expires_in(&server, KEY)));
    assert_eq!(server.command(&["GET", KEY]), ["r"]);
    send(&machines[1], delivery("msg_2")).await.assert_passed(b"hello");
    assert_eq!(server.keys().len(), 2);
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn failed_delivery_is_processed_by_another_machine() {
    let Some(server) = RedisServer::start() else { return };
    let machines = [layer(store(&server)), layer(store(&server))];
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_REQUEST, StatusCode::FOUND] {
        let failed = send_answering(&machines[0], delivery("msg_1"), status).await;
        assert_eq!((failed.status, failed.calls), (status, 1));
        eventually("it is given back", || server.keys().is_empty()).await;
    }
    send(&machines[1], delivery("msg_1")).await.assert_passed(b"hello");
}

#[tokio::test]
async fn running_delivery_is_rejected_elsewhere_until_lease_ends() {
    let Some(server) = RedisServer::start() else { return };
    let running = layer(store(&server)).layer(service_fn(|_: Request<Body<Full<Bytes>>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    let running = tokio::spawn(running.oneshot(delivery("msg_1").map(Full::new)));
    eventually("it is claimed", || !server.keys().is_empty()).await;
    assert!((1..=60_000).contains(&expires_in(&server, KEY)));

    let other = layer(store(&server));
    let meanwhile = send(&other, delivery("msg_1")).await;
    meanwhile.assert_refused(StatusCode::CONFLICT);
    assert_eq!(meanwhile.code(), "DELIVERY_IN_PROGRESS");
    assert_eq!(meanwhile.headers["retry-after"], "1");

    // The sender hangs up.
    running.abort();
    eventually("it is given back", || server.keys().is_empty()).await;
    send(&other, delivery("msg_1")).await.assert_passed(b"hello");
}

#[tokio::test]
async fn claim_of_a_crashed_machine_ends_with_its_lease() {
    let Some(server) = RedisServer::start() else { return };
    let crashing = RedisReplays::with_lease(redis(&server), Duration::from_secs(1)).unwrap();
    let other = store(&server);
    std::mem::forget(first(&crashing).await);
    assert!(matches!(other.claim("a", RETENTION).await, Ok(Claim::InProgress)));
    assert!((1..=1000).contains(&expires_in(&server, "palisade:claim:a")));
    eventually("the lease is over", || server.keys().is_empty()).await;
    first(&other).await;
}

#[tokio::test]
async fn lost_claim_does_not_affect_the_claim_of_another_machine() {
    let Some(server) = RedisServer::start() else { return };
    let machines = [store(&server), store(&server), store(&server)];
    let key = "palisade:claim:a";
    let (slow, slower) = (first(&machines[0]).await, {
        end_lease(&server, key);
        first(&machines[1]).await
    });
    end_lease(&server, key);
    let current = first(&machines[2]).await;
    let held = server.command(&["GET", key]);

    let lost = slow.complete(Bytes::new()).await.unwrap_err().to_string();
    assert!(lost.contains("longer lease"), "{lost}");
    drop(slower);
    // A return goes first, over the same connection.
    assert!(matches!(machines[1].claim("a", RETENTION).await, Ok(Claim::InProgress)));
    assert_eq!(server.command(&["GET", key]), held);

    current.complete(Bytes::new()).await.unwrap();
    assert!(matches!(machines[0].claim("a", RETENTION).await, Ok(Claim::Completed(_))));
}

#[tokio::test]
async fn slow_handler_settles_if_not_claimed_again() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(&server);
    let late = first(&store).await;
    end_lease(&server, "palisade:claim:a");
    late.complete(Bytes::new()).await.unwrap();
    assert!(matches!(store.claim("a", RETENTION).await, Ok(Claim::Completed(_))));
    assert!((3_540_000..=3_600_000).contains(&expires_in(&server, "palisade:claim:a")));
}

#[tokio::test]
async fn cancelled_claim_is_released() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(&server);
    drop(first(&store).await);
    eventually("it is given back", || server.keys().is_empty()).await;
    server.pause();
    let hasty = tokio::time::timeout(Duration::from_millis(50), store.claim("a", RETENTION));
    assert!(hasty.await.is_err());
    server.resume();
    eventually("it was claimed and given back", || {
        let stats = server.command(&["INFO", "commandstats"]).concat();
        server.keys().is_empty() && stats.contains("cmdstat_del:calls=2")
    })
    .await;
}

#[tokio::test]
async fn settlement_completes_although_the_sender_disconnects() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(&server);
    drop(first(&store).await.complete(Bytes::new()));
    eventually("it is settled", || server.command(&["GET", "palisade:claim:a"]) == ["r"]).await;
}

#[tokio::test]
async fn settled_delivery_is_not_released() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(&server);
    first(&store).await.complete(Bytes::new()).await.unwrap();
    // Over the same connection, so after all earlier commands.
    assert!(matches!(store.claim("a", RETENTION).await, Ok(Claim::Completed(_))));
    let stats = server.command(&["INFO", "commandstats"]).concat();
    // when it was settled, and when it was claimed again
    assert!(stats.contains("cmdstat_get:calls=2,"), "{stats}");
}

#[tokio::test]
async fn unlimited_retention_still_has_an_expiry() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(&server);
    let for_ever = Retention { at_most: Duration::MAX, ..RETENTION };
    let Ok(Claim::First(reservation)) = store.claim("a", for_ever).await else { panic!("first") };
    reservation.complete(Bytes::new()).await.unwrap();
    assert!(matches!(store.claim("a", for_ever).await, Ok(Claim::Completed(_))));
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn unavailable_redis_rejects_or_allows_as_configured() {
    let Some(mut server) = RedisServer::start() else { return };
    let store = || {
        let brief = Duration::from_millis(300);
        let redis =
            Redis::builder(server.url()).connect_timeout(brief).response_timeout(brief).build();
        Replays::new(RedisReplays::new(redis.unwrap()))
    };
    let layer = |replays: Replays| build(Webhook::standard(SECRET).replays(replays));
    let (closed, open) = (layer(store()), layer(store().accept_when_store_fails()));
    for stop in [RedisServer::pause as fn(&RedisServer), |_| {}] {
        stop(&server);
        let refused = send(&closed, delivery("msg_1")).await;
        refused.assert_refused(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.code(), "UNAVAILABLE");
        assert_eq!(refused.headers["retry-after"], "1");
        assert!(!String::from_utf8_lossy(&refused.body).contains("redis"));
        for _ in 0..2 {
            send(&open, delivery("msg_1")).await.assert_passed(b"hello");
        }
        let forged = send(&open, delivery("msg_1").map(|_| Bytes::from("forged"))).await;
        forged.assert_refused(StatusCode::UNAUTHORIZED);
        server.stop();
    }
    server.restart_empty();
    let mut answer = send(&closed, delivery("msg_2")).await;
    for _ in 0..200 {
        if answer.status == StatusCode::OK {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = send(&closed, delivery("msg_2")).await;
    }
    answer.assert_passed(b"hello");
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn outage_during_handler_keeps_the_settlement() {
    let Some(mut server) = RedisServer::start() else { return };
    let reservation = first(&store(&server)).await;
    server.stop();
    let error: BoxError = reservation.complete(Bytes::new()).await.unwrap_err();
    assert!(error.to_string().starts_with("redis: "), "{error}");
}

/// A store that waits for a tenth of a second.
fn hasty(server: &RedisServer) -> RedisReplays {
    let redis = Redis::builder(server.url()).connect_timeout(PATIENCE);
    RedisReplays::new(redis.response_timeout(Duration::from_millis(100)).build().unwrap())
}

#[tokio::test]
async fn claims_during_a_stall_are_released() {
    let Some(server) = RedisServer::start() else { return };
    let store = hasty(&server);
    // Nothing was given back before: the script is known since the connection was opened.
    first(&store).await.complete(Bytes::new()).await.unwrap();
    server.command(&["DEL", "palisade:claim:a"]);
    server.pause();
    let mut waiting = Vec::new();
    for name in ["a", "b", "c"] {
        waiting.push(store.claim(name, RETENTION));
    }
    for claim in waiting {
        assert!(claim.await.is_err());
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    server.resume();
    // Long before the leases are over.
    eventually("all are given back", || {
        let stats = server.command(&["INFO", "commandstats"]).concat();
        server.keys().is_empty() && stats.contains("cmdstat_del:calls=4,")
    })
    .await;
    for name in ["a", "b", "c"] {
        assert!(matches!(store.claim(name, RETENTION).await, Ok(Claim::First(_))));
    }
}

#[tokio::test]
async fn settlement_is_repeated_until_it_succeeds() {
    let Some(mut server) = RedisServer::start() else { return };
    let store = hasty(&server);
    let (stalled, failed_over) = (first(&store).await, store.claim("b", RETENTION).await.unwrap());
    server.pause();
    assert!(stalled.complete(Bytes::new()).await.is_err(), "the sender does not wait for it");
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.resume();
    let processed = |key: &str| server.command(&["GET", &format!("palisade:claim:{key}")]) == ["r"];
    eventually("it is remembered", || processed("a")).await;
    assert!(matches!(store.claim("a", RETENTION).await, Ok(Claim::Completed(_))));

    server.stop();
    let Claim::First(failed_over) = failed_over else { panic!("it was first") };
    assert!(failed_over.complete(Bytes::new()).await.is_err());
    server.restart_empty();
    let processed = || server.command(&["GET", "palisade:claim:b"]) == ["r"];
    eventually("the other server knows it", processed).await;
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn repeated_settlement_succeeds() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(&server);
    let reservation = first(&store).await;
    server.command(&["SET", "palisade:claim:a", "r", "PX", "60000"]);
    reservation.complete(Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn documented_acl_permissions_are_sufficient() {
    let Some(server) = RedisServer::start() else { return };
    let rights = ["~palisade:*", "+evalsha", "+eval", "+get", "+set", "+del"];
    server.command(&[&["ACL", "SETUSER", "hooks", "on", ">pw"], &rights[..]].concat());
    let url = format!("redis://hooks:pw@127.0.0.1:{}", server.port());
    let redis = Redis::builder(url).connect_timeout(PATIENCE).response_timeout(PATIENCE).build();
    let store = RedisReplays::new(redis.unwrap());
    drop(first(&store).await);
    eventually("it is given back", || server.keys().is_empty()).await;
    first(&store).await.complete(Bytes::new()).await.unwrap();
    assert!(!format!("{store:?}").contains("pw"), "{store:?}");
}

#[tokio::test]
async fn keys_with_special_characters_are_distinct() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(&server);
    for key in ["a:b", "a%3Ab", "{a}b", "a b", "a\nb"] {
        let Ok(Claim::First(reservation)) = store.claim(key, RETENTION).await else {
            panic!("{key}")
        };
        reservation.complete(Bytes::new()).await.unwrap();
    }
    assert_eq!(server.keys().len(), 5);
}
