//! Records and tokens in a real Redis. The tests of webhook replays cover leases, outages and releases.
#![cfg(feature = "redis")]

use std::time::Duration;

use bytes::Bytes;
use palisade_claims::{Claim, ClaimStore, RedisClaims, Reservation, Retention};
use palisade_redis::{Redis, testing::RedisServer};

const DAY: Retention = Retention::exactly(Duration::from_secs(24 * 60 * 60));

/// What a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the store of another machine.
fn store(server: &RedisServer) -> RedisClaims {
    let redis = Redis::builder(server.url()).connect_timeout(PATIENCE).response_timeout(PATIENCE);
    RedisClaims::new(redis.build().unwrap())
}

async fn first(store: &RedisClaims, key: &str) -> Box<dyn Reservation> {
    match store.claim(key, DAY).await.unwrap() {
        Claim::First(reservation) => reservation,
        other => panic!("{other:?}"),
    }
}

async fn record(store: &RedisClaims, key: &str) -> Bytes {
    match store.claim(key, DAY).await.unwrap() {
        Claim::Completed(record) => record,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn other_machine_gets_the_record_unchanged() {
    let Some(server) = RedisServer::start() else { return };
    let machines = [store(&server), store(&server)];
    let all_bytes: Bytes = (0..=255).cycle().take(1024 * 1024).collect();
    for (key, bytes) in
        [("large", all_bytes), ("empty", Bytes::new()), ("like a claim", "c".into())]
    {
        first(&machines[0], key).await.complete(bytes.clone()).await.unwrap();
        for machine in &machines {
            assert!(record(machine, key).await == bytes, "{key}");
        }
    }
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn lost_lease_does_not_overwrite_the_record() {
    let Some(server) = RedisServer::start() else { return };
    let (slow, fast) = (store(&server), store(&server));
    let late = first(&slow, "a").await;
    // the lease expires
    assert_eq!(server.command(&["DEL", "palisade:claim:a"]), ["1"]);
    let current = first(&fast, "a").await;
    assert_ne!(late.token(), current.token());
    assert_eq!(late.token().len(), 32);

    current.complete("current".into()).await.unwrap();
    assert!(late.complete("late".into()).await.is_err());
    assert_eq!(record(&slow, "a").await, "current");
}
