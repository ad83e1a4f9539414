//! Nodes that stall and fail over while requests come.

mod support;

use std::time::Duration;

use palisade_rate_limit_redis::{
    Redis,
    testing::{RedisCluster, RedisSentinel},
};
use support::load::{is_decided, limit, load, recovered, store};

#[tokio::test(flavor = "multi_thread")]
async fn stalled_cluster_node_affects_only_its_own_keys() {
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
async fn all_clients_are_served_after_a_cluster_failover() {
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
async fn sentinel_failover_under_load_is_followed() {
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
async fn idle_connection_does_not_write_to_a_replaced_master() {
    let Some(watched) = RedisSentinel::start() else { return };
    let store = store(Redis::sentinel([watched.url()], RedisSentinel::MASTER));
    let limit = limit(&store);
    recovered(&limit, 1).await;
    watched.master().pause();
    watched.wait_for_promotion();
    // The first decision may or may not have reached the replica before it was promoted.
    let before = watched.replica().keys().len();
    // A link is idle after a second. A promotion can be faster than that.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    watched.master().resume();
    // It calls itself a master until a sentinel tells it otherwise, which the link does not wait for.
    assert!(is_decided(&limit, 100).await);
    let keys = watched.replica().keys();
    assert_eq!(keys.len(), before + 1, "{keys:?}");
}

#[tokio::test]
async fn master_without_replicas_is_disconnected_at_once() {
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
