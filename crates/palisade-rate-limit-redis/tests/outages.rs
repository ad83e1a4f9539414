//! Nodes that stall and fail over while requests come.

mod support;

use std::{sync::Arc, time::Duration};

use http::request::Parts;
use palisade_core::{Decision, PeerAddr, Policy};
use palisade_rate_limit::{Quota, RateLimit, SharedStore};
use palisade_rate_limit_redis::{
    Redis, RedisBuilder, RedisStore,
    testing::{RedisCluster, RedisSentinel, RedisServer},
};
use support::MINUTE;

fn store(builder: RedisBuilder) -> RedisStore {
    RedisStore::new(builder.build().expect("servers"))
}

fn limit(store: &RedisStore) -> RateLimit {
    let quota = Quota::per(100_000, MINUTE * 60).fixed_window();
    let by = SharedStore::new(store.clone()).timeout(Duration::from_millis(200));
    RateLimit::per_address(quota).name("api").store(by).build().expect("a limit")
}

/// True if the request of this client was decided on by the store.
async fn is_decided(limit: &RateLimit, client: u8) -> bool {
    let (mut head, ()): (Parts, ()) = http::Request::new(()).into_parts();
    head.extensions.insert(PeerAddr(([192, 0, 2, client], 4000).into()));
    match limit.decide(&head) {
        Decision::Now(outcome) => outcome.is_ok(),
        Decision::Later(decision) => decision.await.is_ok(),
    }
}

/// Sends requests of all clients at once, again and again, and returns for each client how many were decided.
async fn load(limit: &RateLimit, clients: u8, rounds: usize) -> Vec<usize> {
    let limit = Arc::new(limit.clone());
    let of_client = |client: u8| {
        let limit = Arc::clone(&limit);
        tokio::spawn(async move {
            let mut decided = 0;
            for _ in 0..rounds {
                decided += usize::from(is_decided(&limit, client).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            decided
        })
    };
    let tasks: Vec<_> = (0..clients).map(of_client).collect();
    let mut decided = Vec::new();
    for task in tasks {
        decided.push(task.await.expect("its requests"));
    }
    decided
}

async fn recovered(limit: &RateLimit, clients: u8) {
    for _ in 0..300 {
        let mut all = true;
        for client in 0..clients {
            all &= is_decided(limit, client).await;
        }
        if all {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not all clients are decided on again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_node_of_a_cluster_stops_its_own_clients_only() {
    const CLIENTS: u8 = 30;
    const ROUNDS: usize = 100;
    let Some(mut cluster) = RedisCluster::start() else { return };
    let store = store(Redis::cluster(cluster.urls()));
    store.ready().await.expect("all masters");
    let limit = limit(&store);
    recovered(&limit, CLIENTS).await;
    for kill in [false, true] {
        if kill {
            cluster.nodes_mut()[0].resume();
            recovered(&limit, CLIENTS).await;
            cluster.nodes_mut()[0].stop();
        } else {
            cluster.nodes()[0].pause();
        }
        let decided = load(&limit, CLIENTS, ROUNDS).await;
        let (served, stopped): (Vec<usize>, Vec<usize>) =
            decided.iter().copied().partition(|decided| *decided == ROUNDS);
        assert!(served.len() >= usize::from(CLIENTS) / 3, "{decided:?}");
        assert!(!stopped.is_empty(), "{decided:?}");
        assert!(stopped.iter().all(|decided| *decided <= 5), "nothing between: {decided:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_in_a_cluster_all_clients_are_served() {
    const CLIENTS: u8 = 20;
    let Some(mut cluster) = RedisCluster::start_with_replica() else { return };
    let store = store(Redis::cluster(cluster.urls()));
    let limit = limit(&store);
    recovered(&limit, CLIENTS).await;
    let loaded = tokio::spawn({
        let limit = limit.clone();
        async move { load(&limit, CLIENTS, 300).await }
    });
    cluster.nodes_mut()[0].stop();
    cluster.wait_for_promotion();
    recovered(&limit, CLIENTS).await;
    loaded.await.expect("the load");
    let replica = cluster.replica().expect("a replica");
    assert!(!replica.keys().is_empty());
    assert_eq!(replica.keys_without_expiry(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_of_sentinels_under_load_is_followed() {
    const CLIENTS: u8 = 10;
    for is_stall in [false, true] {
        let Some(mut watched) = RedisSentinel::start() else { return };
        let store = store(Redis::sentinel([watched.url()], RedisSentinel::MASTER));
        let limit = limit(&store);
        recovered(&limit, CLIENTS).await;
        let loaded = tokio::spawn({
            let limit = limit.clone();
            async move { load(&limit, CLIENTS, 300).await }
        });
        if is_stall {
            watched.master().pause();
            watched.wait_for_promotion();
        } else {
            watched.fail_over();
        }
        recovered(&limit, CLIENTS).await;
        loaded.await.expect("the load");
        assert_eq!(watched.replica().keys().len(), usize::from(CLIENTS));
    }
}

#[tokio::test]
async fn a_link_that_was_idle_does_not_write_to_a_replaced_master() {
    let Some(watched) = RedisSentinel::start() else { return };
    let store = store(Redis::sentinel([watched.url()], RedisSentinel::MASTER));
    let limit = limit(&store);
    recovered(&limit, 1).await;
    watched.master().pause();
    watched.wait_for_promotion();
    // The first decision may or may not have reached the replica before it was promoted.
    let before = watched.replica().keys().len();
    watched.master().resume();
    // It calls itself a master until a sentinel tells it otherwise, which the link does not wait for.
    assert!(is_decided(&limit, 100).await);
    let keys = watched.replica().keys();
    assert_eq!(keys.len(), before + 1, "{keys:?}");
}

#[tokio::test]
async fn a_master_without_replicas_is_left_at_once() {
    let Some(watched) = RedisSentinel::start() else { return };
    let store = store(Redis::sentinel([watched.url()], RedisSentinel::MASTER));
    let limit = limit(&store);
    recovered(&limit, 1).await;
    // As if its replicas had gone over to another master.
    watched.master().command(&["CONFIG", "SET", "min-replicas-to-write", "2"]);
    assert!(!is_decided(&limit, 1).await);
    let connections = || {
        let stats = watched.master().command(&["INFO", "stats"]).concat();
        let count =
            stats.split_once("total_connections_received:").map(|(_, rest)| rest.to_owned());
        let count = count.and_then(|rest| rest.split_whitespace().next().map(str::to_owned));
        count.expect("a count").parse::<u32>().expect("a number")
    };
    let before = connections();
    assert!(!is_decided(&limit, 1).await);
    // One is that of this question, and one is new.
    assert!(connections() >= before + 2);
    watched.master().command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    recovered(&limit, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_acts_on_the_fleet_at_once() {
    use palisade_rate_limit::{Action, Intervention, Store};
    let Some(cluster) = RedisCluster::start() else { return };
    let machines = [store(Redis::cluster(cluster.urls())), store(Redis::cluster(cluster.urls()))];
    let limits = machines.each_ref().map(|store| {
        let quota = Quota::per(1, MINUTE * 60).fixed_window();
        let by = SharedStore::new(store.clone()).refusal_ttl(MINUTE);
        RateLimit::per_address(quota).name("api").store(by).build().expect("a limit")
    });
    for store in &machines {
        store.ready().await.expect("all masters");
    }
    assert!(is_decided(&limits[0], 1).await);
    assert!(!is_decided(&limits[0], 1).await && !is_decided(&limits[1], 1).await);
    // The key, as it is on the server.
    let key = cluster.nodes().iter().flat_map(RedisServer::keys).next().expect("a key");
    let digest = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).expect("a tag").0;
    let key = u128::from_str_radix(digest, 16).expect("a digest").to_be_bytes();
    let reset = Intervention { limit: "api".into(), key, action: Action::Reset };
    machines[0].intervene(reset).await.expect("it is done");
    for _ in 0..200 {
        if is_decided(&limits[1], 1).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the other machine remembers the refusal");
}
