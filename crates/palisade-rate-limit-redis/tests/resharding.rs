//! A slot of a cluster that moves to another master while requests come.

mod support;

use std::{sync::Arc, time::Duration};

use palisade_rate_limit::{KeyError, Quota, RateLimit, Refund, SharedStore, Store};
use palisade_rate_limit_redis::{Redis, RedisStore, testing::RedisCluster};
use support::{
    Client, MINUTE,
    load::{is_decided, load, recovered},
};

fn store(cluster: &RedisCluster) -> RedisStore {
    RedisStore::new(Redis::cluster(cluster.urls()).build().expect("servers"))
}

/// A limit with a breaker that opens at the first failure of a node.
fn limit(store: &RedisStore) -> RateLimit {
    let shared = SharedStore::new(store.clone()).timeout(Duration::from_secs(2));
    let shared = shared.breaker(1, Duration::from_secs(60));
    let quota = Quota::per(100_000, MINUTE * 60).fixed_window();
    RateLimit::per_address(quota).name("load").store(shared).build().expect("a limit")
}

fn client(store: &RedisStore) -> Client {
    Client::new(store, "api", [Quota::per(100, MINUTE * 60).fixed_window()])
}

/// The slot of a client, and the node that has it.
fn place(client: &Client) -> (u16, usize) {
    let digest = u128::from_be_bytes(client.key);
    let slot = RedisCluster::slot_of(&format!("palisade:api:{{{digest:032x}}}"));
    (slot, usize::from(slot > 5460) + usize::from(slot > 10922))
}

/// Another client of the same slot.
fn neighbour(client: &Client) -> Client {
    let of_slot = |other: &Client| place(other) == place(client) && other.key != client.key;
    (0..1_000_000).map(|number| client.with_key(number)).find(of_slot).expect("a neighbour")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_decided_while_a_slot_is_moved() {
    const CLIENTS: u8 = 20;
    let Some(cluster) = RedisCluster::start() else { return };
    let store = store(&cluster);
    store.ready().await.expect("all masters");
    let limit = limit(&store);
    recovered(&limit, CLIENTS).await;
    let others = tokio::spawn({
        let limit = limit.clone();
        async move { load(&limit, CLIENTS, 150).await }
    });

    let client = client(&store);
    let new = neighbour(&client);
    let (slot, from) = place(&client);
    let to = (from + 1) % 3;
    assert_eq!(client.charge(1).await.readings[0].remaining, 99);
    cluster.begin_move(slot, from, to);
    // The old node still has this key, and sends the other to the new node (ASK).
    assert_eq!(client.charge(1).await.readings[0].remaining, 98);
    assert_eq!(new.charge(1).await.readings[0].remaining, 99);
    assert_eq!(new.charge(1).await.readings[0].remaining, 98);
    let keys = cluster.nodes()[to].keys();
    assert!(keys.iter().any(|key| RedisCluster::slot_of(key) == slot), "{keys:?}");

    let moving = tokio::spawn({
        let client = client.clone();
        async move {
            let mut left = 98;
            for _ in 0..40 {
                assert_eq!(client.charge(1).await.readings[0].remaining, left - 1);
                left -= 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    cluster.finish_move(slot, from, to);
    moving.await.expect("every request is decided, and counted once");
    // The old node sends both to the new one (MOVED).
    assert_eq!(client.charge(1).await.readings[0].remaining, 57);
    assert_eq!(new.charge(1).await.readings[0].remaining, 97);
    let decided = others.await.expect("the load");
    assert!(decided.iter().all(|decided| *decided == 150), "{decided:?}");
    let stats = limit.store_stats().expect("a store");
    assert_eq!((stats.failed, stats.skipped), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_during_resharding_is_retried_for_its_key_only() {
    const CLIENTS: u8 = 10;
    let Some(cluster) = RedisCluster::start() else { return };
    let store = store(&cluster);
    store.ready().await.expect("all masters");
    let limit = limit(&store);
    recovered(&limit, CLIENTS).await;
    let client = client(&store);
    let moment = client.charge(3).await.moment;
    let (slot, from) = place(&client);
    cluster.begin_move(slot, from, (from + 1) % 3);
    // The old node has the counts and not the mark of the refund: TRYAGAIN.
    let (name, quotas) = (Arc::clone(&client.limit), Arc::clone(&client.quotas));
    let refund = Refund { limit: name, key: client.key, quotas, amount: 2, moment, id: 1 };
    let error = store.refund(refund.clone()).await.expect_err("the slot is moving");
    assert!(error.is::<KeyError>() && error.to_string().contains("TryAgain"), "{error}");
    for client in 0..CLIENTS {
        assert!(is_decided(&limit, client).await);
    }
    assert_eq!(client.remaining().await, 97);
    cluster.finish_move(slot, from, (from + 1) % 3);
    for _ in 0..2 {
        store.refund(refund.clone()).await.expect("the slot has moved");
    }
    assert_eq!(client.remaining().await, 99, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn slot_without_a_node_fails_its_keys_only() {
    const CLIENTS: u8 = 10;
    let Some(cluster) = RedisCluster::start() else { return };
    let store = store(&cluster);
    store.ready().await.expect("all masters");
    let limit = limit(&store);
    recovered(&limit, CLIENTS).await;
    let client = client(&store);
    client.charge(1).await;
    let (slot, node) = place(&client);
    cluster.nodes()[node].command(&["CLUSTER", "DELSLOTS", &slot.to_string()]);
    let error = client.try_charge(1).await.expect_err("no node has the slot");
    assert!(error.is::<KeyError>(), "{error}");
    let decided = load(&limit, CLIENTS, 20).await;
    assert!(decided.iter().all(|decided| *decided == 20), "{decided:?}");
}
