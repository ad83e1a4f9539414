//! Clusters and sentinels.

mod support;

use std::time::Duration;

use palisade_rate_limit::Quota;
use palisade_rate_limit_redis::{
    Redis, RedisBuilder, RedisStore,
    testing::{RedisCluster, RedisSentinel},
};
use support::{Client, MINUTE};

fn quotas() -> [Quota; 3] {
    [
        Quota::per(5, MINUTE * 60).fixed_window().named("a"),
        Quota::per(9, MINUTE * 60).strict().named("b"),
        Quota::per(7, MINUTE * 60).gcra().named("c"),
    ]
}

fn client(builder: RedisBuilder) -> Client {
    let redis = builder
        .connect_timeout(Duration::from_millis(1000))
        .response_timeout(Duration::from_millis(500))
        .build()
        .expect("a server");
    Client::new(&RedisStore::new(redis), "api", quotas())
}

/// Asks until it is answered again.
async fn recovered(client: &Client) {
    for _ in 0..60 {
        if client.try_charge(0).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not work again: {:?}", client.try_charge(0).await);
}

#[tokio::test]
async fn cluster_checks_all_quotas_of_a_key_atomically() {
    let Some(cluster) = RedisCluster::start() else { return };
    let client = client(Redis::cluster(cluster.urls()));
    recovered(&client).await;
    for key in 0..60 {
        let client = client.with_key(key);
        assert_eq!(client.charge(4).await.charged, Some(4));
        let refused = client.charge(2).await;
        assert_eq!(refused.charged, None);
        let remaining = refused.readings.iter().map(|reading| reading.remaining);
        assert_eq!(remaining.collect::<Vec<_>>(), [1, 5, 3]);
        client.refund(1, client.charge(1).await.moment).await;
    }
    let mut keys = 0;
    for node in cluster.nodes() {
        assert!(node.keys().len() > 10, "each node has some: {:?}", node.keys());
        assert_eq!(node.keys_without_expiry(), [""; 0]);
        keys += node.keys().len();
    }
    assert_eq!(keys, 120, "one for each client, and one for each refund");
}

#[tokio::test]
async fn cluster_scripts_are_loaded_again_after_a_script_flush() {
    let Some(cluster) = RedisCluster::start() else { return };
    let client = client(Redis::cluster(cluster.urls()));
    recovered(&client).await;
    for round in 1..4 {
        for key in 0..12 {
            let verdict = client.with_key(key).charge(1).await;
            assert_eq!(verdict.readings[0].remaining, 5 - round);
        }
        for node in cluster.nodes() {
            node.command(&["SCRIPT", "FLUSH"]);
        }
    }
}

#[tokio::test]
async fn cluster_without_one_node_counts_the_other_keys() {
    let Some(mut cluster) = RedisCluster::start() else { return };
    let client = client(Redis::cluster(cluster.urls()));
    recovered(&client).await;
    for key in 0..60 {
        client.with_key(key).charge(1).await;
    }
    cluster.nodes_mut()[2].stop();
    let mut lost = 0;
    for _ in 0..3 {
        lost = 0;
        for key in 0..60 {
            lost += usize::from(client.with_key(key).try_charge(1).await.is_err());
        }
    }
    // a third, give or take what chance does
    assert!((5..=40).contains(&lost), "{lost}");

    cluster.nodes_mut()[2].restart_empty();
    cluster.wait_until_complete();
    for key in 0..60 {
        recovered(&client.with_key(key)).await;
    }
}

#[tokio::test]
async fn sentinels_are_queried_for_the_new_master_after_a_failover() {
    let Some(mut watched) = RedisSentinel::start() else { return };
    // The first address leads nowhere, as that of a sentinel that is down.
    let sentinels = ["redis://127.0.0.1:1".to_owned(), watched.url()];
    let client = client(Redis::sentinel(sentinels, RedisSentinel::MASTER));
    assert_eq!(client.charge(3).await.charged, Some(3));
    assert_eq!(watched.master().keys().len(), 1);
    let replicated = watched.master().command(&["WAIT", "1", "5000"]);
    assert_eq!(replicated, ["1"]);

    watched.fail_over();
    recovered(&client).await;
    // The replica knew, and goes on from there.
    assert_eq!(client.charge(3).await.charged, None);
    assert_eq!(client.charge(2).await.charged, Some(2));
    assert_eq!(watched.replica().keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn frozen_master_is_replaced_by_the_promoted_one() {
    let Some(watched) = RedisSentinel::start() else { return };
    let client = client(Redis::sentinel([watched.url()], RedisSentinel::MASTER));
    client.charge(1).await;
    // Nothing closes the connection. Only that it is silent tells.
    watched.master().pause();
    watched.wait_for_promotion();
    recovered(&client).await;
    let keys = watched.replica().keys().len();
    client.with_key(1).charge(1).await;
    assert_eq!(watched.replica().keys().len(), keys + 1);
}

#[tokio::test]
async fn master_unknown_to_the_sentinels_is_named_in_the_error() {
    let Some(watched) = RedisSentinel::start() else { return };
    let client = client(Redis::sentinel([watched.url()], "another"));
    let error = client.try_charge(1).await.unwrap_err().to_string();
    assert_eq!(error, "redis: no sentinel knows a master named `another`");
    assert!(format!("{:?}", client.store).contains("sentinel"));
}
