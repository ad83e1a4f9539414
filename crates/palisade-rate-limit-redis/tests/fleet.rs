//! What operators and bans do on one machine, and what the others then do.

mod support;

use std::{net::IpAddr, sync::Arc, time::Duration};

use palisade_core::ApiError;
use palisade_rate_limit::{Ban, ByAddress, Quota, RateLimit, RateLimitBuilder, SharedStore};
use palisade_rate_limit_redis::{
    Redis, RedisBuilder, RedisStore,
    testing::{RedisCluster, RedisSentinel, RedisServer},
};
use support::{Hand, MINUTE};

const HOUR: Duration = Duration::from_secs(3600);

fn key(client: u8) -> u128 {
    ByAddress::default().key_of(IpAddr::from([192, 0, 2, client]))
}

/// A limit of its own connection, as of another machine. It caches rejections until it is reset.
async fn machine(
    redis: RedisBuilder,
    quota: Quota,
    shared: impl FnOnce(SharedStore) -> SharedStore,
    builder: impl FnOnce(RateLimitBuilder<ByAddress>) -> RateLimitBuilder<ByAddress>,
) -> RateLimit {
    let patience = Duration::from_secs(5);
    let redis = redis.response_timeout(patience).connect_timeout(patience).build().unwrap();
    let store = RedisStore::new(redis);
    store.ready().await.expect("all masters");
    let store = SharedStore::new(store).timeout(patience).refusal_ttl(HOUR);
    builder(RateLimit::per_address(quota).name("api").store(shared(store))).build().unwrap()
}

async fn two_machines(redis: impl Fn() -> RedisBuilder, quota: Quota) -> [RateLimit; 2] {
    [
        machine(redis(), quota.clone(), |store| store, |limit| limit).await,
        machine(redis(), quota, |store| store, |limit| limit).await,
    ]
}

async fn passes(limit: &RateLimit, client: u8) -> bool {
    match limit.check(key(client), 1).await {
        Ok(_) => true,
        Err(error) if error.status() == 429 => false,
        Err(error) => panic!("the store failed: {error:?}"),
    }
}

async fn left(limit: &RateLimit, client: u8) -> u32 {
    limit.peek(key(client)).await.expect("a look").remaining().expect("one quota")
}

/// Waits for a message to arrive.
async fn soon(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 5 s: {what}");
}

/// What an operator does on one of two machines, for keys of all masters.
async fn an_operator_acts_on_both(redis: impl Fn() -> RedisBuilder) {
    let [here, there] = two_machines(redis, Quota::per(3, HOUR * 24).exact_log()).await;
    for client in 0..8 {
        // Checks count together, and looks count nothing.
        assert!(passes(&here, client).await && passes(&there, client).await);
        assert_eq!((left(&here, client).await, left(&there, client).await), (1, 1));
        assert!(passes(&here, client).await);
        assert!(!passes(&here, client).await && !passes(&there, client).await);

        // The other machine has remembered the refusal for an hour.
        here.reset(key(client)).await.expect("a reset");
        assert_eq!(left(&there, client).await, 3);
        soon("the other machine forgets a refusal", async || passes(&there, client).await).await;
        assert_eq!((left(&here, client).await, left(&there, client).await), (2, 2));

        there.block(key(client), HOUR).await.expect("a block");
        soon("a block is known", async || !passes(&here, client).await).await;
        for limit in [&here, &there] {
            let error: ApiError = limit.check(key(client), 1).await.unwrap_err();
            let wait = error.retry_after().expect("the rest of the block");
            assert!(wait <= HOUR && wait > HOUR - MINUTE, "{wait:?}");
            assert_eq!(error.status(), 429);
            assert_eq!(left(limit, client).await, 2, "a block charges nothing");
        }
        // A reset leaves the block.
        here.reset(key(client)).await.expect("a reset");
        assert!(!passes(&here, client).await && !passes(&there, client).await);
        here.unblock(key(client)).await.expect("no block");
        soon("the end of a block is known", async || passes(&there, client).await).await;
        assert!(passes(&here, client).await);
        assert_eq!(left(&there, client).await, 1);
        assert!(passes(&here, client + 100).await, "other keys are not concerned");
    }
}

#[tokio::test]
async fn operator_actions_apply_to_all_machines() {
    let Some(server) = RedisServer::start() else { return };
    an_operator_acts_on_both(|| Redis::builder(server.url())).await;
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn operator_actions_apply_to_all_machines_of_a_cluster() {
    let Some(cluster) = RedisCluster::start() else { return };
    an_operator_acts_on_both(|| Redis::cluster(cluster.urls())).await;
    for node in cluster.nodes() {
        assert!(!node.keys().is_empty(), "keys of every master were acted on");
        assert_eq!(node.keys_without_expiry(), [""; 0]);
    }
}

#[tokio::test]
async fn operator_actions_apply_to_all_machines_behind_sentinels() {
    let Some(watched) = RedisSentinel::start() else { return };
    an_operator_acts_on_both(|| Redis::sentinel([watched.url()], RedisSentinel::MASTER)).await;
}

#[tokio::test]
async fn a_block_ends_leases_of_other_machines() {
    let Some(server) = RedisServer::start() else { return };
    let quota = Quota::per(1000, HOUR * 24);
    let redis = || Redis::builder(server.url());
    let here = machine(redis(), quota.clone(), |store| store, |limit| limit).await;
    let there = machine(redis(), quota, |store| store.leased(100), |limit| limit).await;
    for _ in 0..3 {
        assert!(passes(&there, 1).await);
    }
    assert_eq!(there.store_stats().unwrap().leased, 2);
    here.block(key(1), HOUR).await.expect("a block");
    soon("the lease is dropped", async || !passes(&there, 1).await).await;
}

#[tokio::test]
async fn operator_calls_are_503_if_the_store_is_down() {
    let Some(mut server) = RedisServer::start() else { return };
    let redis = Redis::builder(server.url());
    let limit = machine(redis, Quota::per(3, HOUR), |store| store, |limit| limit).await;
    server.stop();
    assert_eq!(limit.block(key(1), HOUR).await.unwrap_err().status(), 503);
    assert_eq!(limit.unblock(key(1)).await.unwrap_err().status(), 503);
    assert_eq!(limit.reset(key(1)).await.unwrap_err().status(), 503);
    assert_eq!(limit.peek(key(1)).await.unwrap_err().status(), 503);
    assert_eq!(limit.check(key(1), 1).await.unwrap_err().status(), 503);
}

/// Machines that share a server, and the time of a hand.
struct Banning {
    machines: Vec<RateLimit>,
    time: Arc<Hand>,
}

impl Banning {
    fn new(redis: impl Fn() -> RedisBuilder, ban: Ban) -> Self {
        let time = Hand::at(1_800_000_000_000);
        let machine = || {
            let patience = Duration::from_secs(5);
            let redis = redis().response_timeout(patience).connect_timeout(patience);
            let store = RedisStore::with_clock(redis.build().unwrap(), time.clone());
            let store = SharedStore::new(store).timeout(patience);
            let quota = Quota::per(1, Duration::from_secs(1)).fixed_window();
            let limit = RateLimit::per_address(quota).name("api").clock(time.clone());
            limit.store(store).ban(ban).build().unwrap()
        };
        Self { machines: vec![machine(), machine(), machine()], time }
    }

    /// Returns the client's `Retry-After`. Each request goes to another machine.
    async fn wait(&self, number: usize, client: u8) -> Option<u64> {
        let machine = &self.machines[number % self.machines.len()];
        let refusal = machine.check(key(client), 1).await.err()?;
        assert_eq!(refusal.status(), 429, "{refusal:?}");
        Some(refusal.retry_after().expect("a wait").as_secs())
    }
}

async fn bans_grow_on_all_machines(redis: impl Fn() -> RedisBuilder) {
    let banning = Banning::new(redis, Ban::after(4, MINUTE).growing_to(MINUTE * 3));
    for client in 1..6 {
        for length in [60, 120, 180, 180] {
            assert_eq!(banning.wait(0, client).await, None);
            for number in 0..3 {
                assert_eq!(banning.wait(number, client).await, Some(1));
            }
            // The refusal that earns the ban says so, and then all machines do.
            assert_eq!(banning.wait(0, client).await, Some(length));
            for number in 0..6 {
                assert_eq!(banning.wait(number, client).await, Some(length));
            }
            assert_eq!(banning.wait(0, 100 + client).await, None, "another key");
            banning.time.advance(length * 1000 - 1);
            assert!(banning.wait(1, client).await.is_some());
            banning.time.advance(1);
        }
        // After as long without a ban as the last one took, they begin with the shortest.
        banning.time.advance(180_000);
        assert_eq!(banning.wait(0, client).await, None);
        for number in 0..3 {
            assert_eq!(banning.wait(number, client).await, Some(1));
        }
        assert_eq!(banning.wait(1, client).await, Some(60));
        // An operator ends a ban everywhere, and what it had grown to.
        banning.machines[2].unblock(key(client)).await.expect("it is done");
        banning.time.advance(1000);
        assert_eq!(banning.wait(0, client).await, None);
        for number in 0..3 {
            assert_eq!(banning.wait(number, client).await, Some(1));
        }
        assert_eq!(banning.wait(0, client).await, Some(60));
        // A reset does not.
        banning.machines[0].reset(key(client)).await.expect("it is done");
        assert!(banning.wait(1, client).await.is_some());
    }
}

#[tokio::test]
async fn a_key_is_banned_on_all_machines() {
    let Some(server) = RedisServer::start() else { return };
    bans_grow_on_all_machines(|| Redis::builder(server.url())).await;
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn a_key_is_banned_on_all_machines_of_a_cluster() {
    let Some(cluster) = RedisCluster::start() else { return };
    bans_grow_on_all_machines(|| Redis::cluster(cluster.urls())).await;
    for node in cluster.nodes() {
        assert_eq!(node.keys_without_expiry(), [""; 0]);
    }
}

#[tokio::test]
async fn rare_rejections_and_peeks_cause_no_ban() {
    let Some(server) = RedisServer::start() else { return };
    let banning = Banning::new(|| Redis::builder(server.url()), Ban::after(3, MINUTE));
    for _ in 0..10 {
        assert_eq!(banning.wait(0, 1).await, None);
        assert_eq!(banning.wait(1, 1).await, Some(1));
        assert_eq!(banning.wait(2, 1).await, Some(1));
        for _ in 0..10 {
            assert_eq!(left(&banning.machines[0], 1).await, 0);
        }
        banning.time.advance(60_000);
    }
}

#[tokio::test]
async fn ban_needs_one_round_trip_and_is_cached() {
    let Some(server) = RedisServer::start() else { return };
    let banning = Banning::new(|| Redis::builder(server.url()), Ban::after(3, MINUTE));
    let scripts = || {
        let stats = server.command(&["INFO", "commandstats"]).concat();
        let count = stats.split_once("cmdstat_evalsha:calls=").map(|(_, rest)| rest);
        let count = count.and_then(|rest| rest.split(',').next()).unwrap_or("0");
        count.parse::<u32>().expect("a number")
    };
    assert_eq!(banning.wait(0, 1).await, None);
    let before = scripts();
    for _ in 0..3 {
        assert!(banning.wait(0, 1).await.is_some());
    }
    assert_eq!(scripts() - before, 3);
    // A machine remembers that the key is blocked.
    for _ in 0..50 {
        assert!(banning.wait(0, 1).await.is_some());
    }
    assert_eq!(scripts() - before, 3);
}

#[tokio::test]
async fn corrupt_ban_record_is_replaced() {
    let Some(server) = RedisServer::start() else { return };
    let banning = Banning::new(|| Redis::builder(server.url()), Ban::after(2, MINUTE));
    assert_eq!(banning.wait(0, 1).await, None);
    let name = server.keys().remove(0);
    for field in ["n", "b", "x"] {
        server.command(&["HSET", &name, field, "nonsense"]);
    }
    assert_eq!(banning.wait(0, 1).await, Some(1));
    assert_eq!(banning.wait(1, 1).await, Some(60));
    server.command(&["SET", &name, "nonsense"]);
    assert_eq!(banning.wait(2, 1).await, None, "what was there is gone");
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}
