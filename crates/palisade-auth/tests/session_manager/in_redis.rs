use palisade_auth::RedisSessions;
use palisade_redis::{Redis, testing::RedisServer};

use super::*;

/// What a busy machine may take, and a test would rather wait for than fail.
const PATIENCE: Duration = Duration::from_secs(20);

fn machine(server: &RedisServer) -> SessionManager<User, RedisSessions> {
    let redis = Redis::builder(server.url())
        .connect_timeout(PATIENCE)
        .response_timeout(PATIENCE)
        .build()
        .unwrap();
    SessionManager::builder(RedisSessions::new(redis)).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn renewal_in_redis_never_restores_a_removed_session() {
    let Some(server) = RedisServer::start() else { return };
    let redis = Redis::builder(server.url()).build().unwrap();
    renewal_resurrects_no_session(RedisSessions::new(redis)).await;
}

#[tokio::test]
async fn sessions_are_kept_in_redis() {
    let Some(server) = RedisServer::start() else { return };
    keeps_sessions(&machine(&server)).await;
}

#[tokio::test]
async fn sessions_per_caller_in_redis_are_limited_to_32() {
    let Some(server) = RedisServer::start() else { return };
    let manager = machine(&server);
    let anonymous = HeaderMap::new();
    let other = Principal::new("grace");
    let other = browser(&manager.log_in(&anonymous, &other, user()).await.unwrap());
    let mut sessions = Vec::new();
    for _ in 0..40 {
        sessions.push(browser(&manager.log_in(&anonymous, &ada(), user()).await.unwrap()));
    }
    let mut alive = 0;
    for session in &sessions {
        alive += usize::from(whoami(&manager, session).await.is_ok());
    }
    assert_eq!(alive, 32);
    assert!(whoami(&manager, &sessions[39]).await.is_ok(), "the newest");
    assert!(whoami(&manager, &other).await.is_ok(), "another caller");
    assert_eq!(server.command(&["KEYS", "*"]).len(), 32 + 1 + 2);
    manager.log_out_everywhere(&ada()).await.unwrap();
    assert_eq!(server.command(&["KEYS", "*"]).len(), 2);
}

#[tokio::test]
async fn redis_stores_shared_sessions_without_their_tokens() {
    let Some(mut server) = RedisServer::start() else { return };
    let (one, other) = (machine(&server), machine(&server));
    let set = one.log_in(&HeaderMap::new(), &ada(), user()).await.unwrap();
    assert!(whoami(&other, &browser(&set)).await.is_ok());

    let keys = server.command(&["KEYS", "*"]);
    assert_eq!(keys.len(), 2, "{keys:?}");
    let session = keys.iter().find(|key| key.starts_with("palisade:session:")).unwrap();
    let list = keys.iter().find(|key| key.starts_with("palisade:sessions:")).unwrap();
    let kept = format!("{keys:?} {:?}", server.command(&["HGETALL", session]));
    assert!(!kept.contains(&token(&set)) && kept.contains("Ada"), "{kept}");

    // every key expires: the session when it is idle, the list with the last of its sessions
    let expires_in = |key: &str| server.command(&["PTTL", key])[0].parse::<i64>().unwrap();
    let (half_hour, half_day) = (30 * 60 * 1000, 12 * 60 * 60 * 1000);
    assert!((1..=half_hour).contains(&expires_in(session)));
    assert!((half_hour..=half_day).contains(&expires_in(list)));
    // a request puts the end off, but never beyond the end of the lifetime
    server.command(&["PEXPIRE", session, "1000000"]);
    whoami(&other, &browser(&set)).await.unwrap();
    assert!((1_000_001..=half_hour).contains(&expires_in(session)));
    let soon = server.command(&["TIME"])[0].parse::<u64>().unwrap() * 1000 + 600_000;
    server.command(&["HSET", session, "ends", &soon.to_string()]);
    whoami(&other, &browser(&set)).await.unwrap();
    assert!((1..=600_000).contains(&expires_in(session)));
    server.command(&["HSET", session, "ends", "1"]);
    assert_eq!(whoami(&other, &browser(&set)).await.unwrap_err(), 401);

    // a list leaves out what has ended
    let next = one.log_in(&HeaderMap::new(), &ada(), user()).await.unwrap();
    server.command(&["ZADD", list, "1", "ended"]);
    one.log_in(&HeaderMap::new(), &ada(), user()).await.unwrap();
    assert!(!server.command(&["ZRANGE", list, "0", "-1"]).contains(&"ended".to_owned()));
    assert!(whoami(&other, &browser(&next)).await.is_ok());

    server.stop();
    assert_eq!(whoami(&one, &browser(&next)).await.unwrap_err(), 503);
}
