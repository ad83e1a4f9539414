use palisade_redis::testing::RedisServer;

use super::*;

/// The purges of one shard.
struct State {
    shared: Shared,
    key: Key,
}

impl State {
    fn new(server: &RedisServer) -> Self {
        let shared = Shared::new(Redis::builder(server.url()).build().unwrap());
        let key = Key { host: "a".into(), path_and_query: "/".into(), scope: None, content: None };
        Self { shared, key }
    }

    /// Asks for a mark, purges these tags, with a limit, and returns whether a response with the tag `a` is stored then.
    async fn stores_after(&self, tags: &[&str], most: &str) -> bool {
        let mark = self.shared.mark(&self.key).await.unwrap();
        for tag in tags {
            let (keys, arguments) = ([self.shared.key(0, "w")], [&purged_tag(tag), "60000", most]);
            self.shared.redis.run_bytes(&PURGE, &keys, &arguments).await.unwrap();
        }
        let mut stored = record::tests::stored();
        stored.tags = vec!["a".into()];
        self.shared.insert(&self.key, &stored, &mark).await == Insertion::Stored
    }
}

#[tokio::test]
async fn too_many_purges_of_tags_purge_everything() {
    let Some(server) = RedisServer::start() else { return };
    let state = State::new(&server);
    assert!(state.stores_after(&["b", "c"], "4").await);
    assert!(!state.stores_after(&["d", "e"], "4").await);
    assert!(state.stores_after(&[], "4").await);
    assert!(!state.stores_after(&["a"], "4").await);
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn older_response_does_not_replace_a_newer_one() {
    let Some(server) = RedisServer::start() else { return };
    let State { shared, key } = State::new(&server);
    let older = shared.mark(&key).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let newer = shared.mark(&key).await.unwrap();
    let stored = record::tests::stored();
    assert_eq!(shared.insert(&key, &stored, &newer).await, Insertion::Stored);
    assert_eq!(shared.insert(&key, &stored, &older).await, Insertion::Refused);
    assert_eq!(shared.insert(&key, &stored, &newer).await, Insertion::Stored);
}

#[tokio::test]
async fn response_that_took_too_long_is_not_stored() {
    let Some(server) = RedisServer::start() else { return };
    let State { shared, key } = State::new(&server);
    let mark = String::from_utf8(shared.mark(&key).await.unwrap().0).unwrap();
    let (state, asked) = mark.rsplit_once(' ').unwrap();
    let asked: u64 = asked.parse().unwrap();
    for (seconds, expected) in [(299, Insertion::Stored), (301, Insertion::Refused)] {
        let mark = RedisMark(format!("{state} {}", asked - seconds * 1000).into());
        assert_eq!(shared.insert(&key, &record::tests::stored(), &mark).await, expected);
    }
}

#[tokio::test]
async fn only_the_holder_of_a_flight_ends_it() {
    let Some(server) = RedisServer::start() else { return };
    let State { shared, key } = State::new(&server);
    let Departure::Lead(_, lease) = shared.depart(&key).await else { panic!("it is the first") };
    assert!(matches!(shared.depart(&key).await, Departure::Wait));
    // the lease expires, and another machine departs
    let flight = shared.place(&key).flight(&shared);
    assert_eq!(server.command(&["DEL", &flight]), ["1"]);
    let Departure::Lead(_, other) = shared.depart(&key).await else { panic!("it is the next") };
    let held = server.command(&["GET", &flight]);
    lease.land(true);
    shared.mark(&key).await.unwrap();
    assert_eq!(server.command(&["GET", &flight]), held);
    other.land(true);
    while server.command(&["GET", &flight]) != ["x"] {
        tokio::task::yield_now().await;
    }
    assert!(matches!(shared.depart(&key).await, Departure::Alone(Some(_))));
}

#[tokio::test]
async fn server_that_failed_is_not_asked_for_a_while() {
    let Some(mut server) = RedisServer::start() else { return };
    let State { shared, key } = State::new(&server);
    assert!(shared.mark(&key).await.is_some());
    server.stop();
    assert!(shared.mark(&key).await.is_none());
    server.restart_empty();
    assert!(shared.mark(&key).await.is_none());
    shared.shards[0].paused_until.store(0, Ordering::Relaxed);
    while shared.mark(&key).await.is_none() {
        shared.shards[0].paused_until.store(0, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
