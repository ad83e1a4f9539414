//! A server that is gone, slow, empty or of another mind.

mod support;

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use palisade_core::BoxError;
use palisade_rate_limit::{Quota, Verdict};
use palisade_rate_limit_redis::{Redis, RedisStore, testing::RedisServer};
use support::{Client, MINUTE};

const CONNECT: Duration = Duration::from_millis(500);
const RESPONSE: Duration = Duration::from_millis(300);

/// What a busy machine adds to a time-out.
const LATE: Duration = Duration::from_millis(500);

fn client(url: impl Into<String>) -> Client {
    let redis = Redis::builder(url)
        .connect_timeout(CONNECT)
        .response_timeout(RESPONSE)
        .build()
        .expect("a server");
    Client::new(&RedisStore::new(redis), "api", [Quota::per(1000, MINUTE * 60).fixed_window()])
}

/// A verdict, or an error within the time-outs.
#[allow(clippy::disallowed_methods, reason = "what is measured is the time of the real clock")]
async fn promptly(client: &Client) -> Result<Verdict, BoxError> {
    let start = Instant::now();
    let outcome = client.try_charge(1).await;
    let took = start.elapsed();
    assert!(took < CONNECT + RESPONSE + LATE, "{took:?}: {outcome:?}");
    outcome
}

/// Asks until it is answered again, each time within the time-outs.
async fn recovered(client: &Client) -> Verdict {
    for _ in 0..200 {
        if let Ok(verdict) = promptly(client).await {
            return verdict;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not work again");
}

#[tokio::test]
async fn scripts_are_loaded_again_after_a_script_flush() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    for round in 1..4 {
        assert_eq!(client.charge(1).await.readings[0].remaining, 1000 - round);
        let moment = client.charge(1).await.moment;
        server.command(&["SCRIPT", "FLUSH"]);
        client.refund(1, moment).await;
        server.command(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn unavailable_server_fails_calls_at_once_until_it_returns() {
    let Some(mut server) = RedisServer::start() else { return };
    let client = client(server.url());
    client.charge(1).await;
    server.stop();
    for _ in 0..20 {
        let error = promptly(&client).await.unwrap_err().to_string();
        assert!(error.starts_with("redis: "), "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.restart_empty();
    // of what was counted, nothing is left
    assert_eq!(recovered(&client).await.readings[0].remaining, 999);
    for left in (990..999).rev() {
        assert_eq!(client.charge(1).await.readings[0].remaining, left);
    }
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn reconnects_are_rare_while_the_server_is_down() {
    // it accepts, and hangs up
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("its number"));
    let attempts = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&attempts);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            count.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    let client = client(url);
    let mut errors = 0;
    for _ in 0..400 {
        errors += usize::from(client.try_charge(1).await.is_err());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let attempts = attempts.load(Ordering::Relaxed);
    assert_eq!(errors, 400);
    assert!((2..=8).contains(&attempts), "{attempts}");
}

#[tokio::test]
async fn hanging_server_fails_calls_within_the_timeouts() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    client.charge(1).await;
    server.pause();
    for _ in 0..12 {
        let error = promptly(&client).await.unwrap_err().to_string();
        let is_timeout =
            error.contains("no answer within") || error.contains("no connection within");
        assert!(is_timeout || error.contains("cannot connect"), "{error}");
    }
    server.resume();
    recovered(&client).await;
    // Late replies are not used for other calls.
    let before = client.charge(1).await.readings[0].remaining;
    for left in (before - 9..before).rev() {
        assert_eq!(client.charge(1).await.readings[0].remaining, left);
    }
}

/// How many connections the server ever had, this question's included.
fn connections(server: &RedisServer) -> u32 {
    let stats = server.command(&["INFO", "stats"]).concat();
    let count = stats.split_once("total_connections_received:").map(|(_, rest)| rest);
    let count = count.and_then(|rest| rest.lines().next()).expect("a count");
    count.trim().parse().expect("a number")
}

#[tokio::test]
async fn short_pause_of_the_server_keeps_the_connection() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    client.charge(1).await;
    let before = connections(&server);
    server.pause();
    assert!(promptly(&client).await.is_err());
    server.resume();
    recovered(&client).await;
    // the one that asked, and no other
    assert_eq!(connections(&server), before + 1);
}

#[tokio::test]
async fn cancelled_calls_do_not_affect_others() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    let hasty = client.with_key(1);
    for nanos in (0..400_000).step_by(2_000) {
        let _ = tokio::time::timeout(Duration::from_nanos(nanos), hasty.try_charge(1)).await;
    }
    // Whose answers were mixed up, would see another's count.
    let answers = (0..200_u64).map(|number| {
        let client = client.with_key(100 + number);
        tokio::spawn(async move {
            for _ in 0..number % 7 {
                client.charge(1).await;
            }
            (number % 7, client.remaining().await)
        })
    });
    for answer in answers.collect::<Vec<_>>() {
        let (charged, remaining) = answer.await.expect("an answer");
        assert_eq!(u64::from(remaining), 1000 - charged);
    }
}

#[tokio::test]
async fn cancelled_first_call_does_not_stop_connecting() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    server.pause();
    let hurried = tokio::time::timeout(Duration::from_millis(5), client.try_charge(1));
    assert!(hurried.await.is_err());
    server.resume();
    // It goes on where the first left it.
    assert!(client.try_charge(1).await.is_ok());
}

#[tokio::test]
async fn closed_idle_connection_is_replaced_without_an_error() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    client.charge(1).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert_eq!(client.charge(1).await.readings[0].remaining, 998);
}

#[tokio::test]
async fn wrong_password_is_an_error_without_the_password() {
    let Some(server) = RedisServer::start_with_password("s3cret-and-right") else { return };
    let wrong = format!("redis://:s3cret-but-wrong@127.0.0.1:{}", server.port());
    for client in [client(wrong.clone()), client(server.url())] {
        let error = promptly(&client).await.unwrap_err();
        let shown = format!("{error} {error:?} {:?}", client.store);
        let says_so = shown.contains("WRONGPASS") || shown.contains("NOAUTH");
        assert!(says_so, "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    let builder = Redis::builder(wrong).password("s3cret-and-right");
    assert!(!format!("{builder:?}").contains("s3cret"), "{builder:?}");
    let store = RedisStore::new(builder.response_timeout(RESPONSE).build().expect("a server"));
    assert!(!format!("{store:?}").contains("s3cret"), "{store:?}");
    assert!(format!("{store:?}").contains(&server.port().to_string()), "{store:?}");
    let right = Client::new(&store, "api", [Quota::per(3, MINUTE)]);
    assert_eq!(right.charge(1).await.charged, Some(1));
}

#[tokio::test]
async fn documented_acl_permissions_are_sufficient() {
    let Some(server) = RedisServer::start() else { return };
    let rights = [
        "~palisade:*",
        "+evalsha",
        "+eval",
        "+hmget",
        "+hget",
        "+hset",
        "+pexpire",
        "+set",
        "+time",
    ];
    server.command(&[&["ACL", "SETUSER", "limiter", "on", ">pw"], &rights[..]].concat());
    let url = format!("redis://limiter:pw@127.0.0.1:{}", server.port());
    let client = client(url);
    let moment = client.charge(2).await.moment;
    client.refund(1, moment).await;
    assert_eq!(client.remaining().await, 999);
}

#[tokio::test]
async fn missing_read_permission_admits_no_request() {
    let Some(server) = RedisServer::start() else { return };
    let rights = ["~palisade:*", "+@all", "-hmget", "-script"];
    server.command(&[&["ACL", "SETUSER", "limiter", "on", ">pw"], &rights[..]].concat());
    let client = client(format!("redis://limiter:pw@127.0.0.1:{}", server.port()));
    for _ in 0..3 {
        let error = client.try_charge(1).await.unwrap_err();
        let error = error.to_string();
        // the words of Redis 7.0, and of Valkey 9
        let words = ["can't run this command", "no permissions to run the 'hmget' command"];
        assert!(words.iter().any(|words| error.contains(words)), "{error}");
    }
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn out_of_memory_error_of_the_server_is_reported() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    client.charge(1).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = promptly(&client).await.unwrap_err().to_string();
    assert!(error.contains("OOM"), "{error}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(client.charge(1).await.charged, Some(1));
}

#[tokio::test]
async fn master_demoted_to_a_replica_is_disconnected() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    client.charge(1).await;
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let before = connections(&server);
    let error = promptly(&client).await.unwrap_err().to_string();
    assert!(error.contains("read only replica"), "{error}");
    // The name may lead to another server by now.
    assert!(promptly(&client).await.is_err());
    assert_eq!(connections(&server), before + 2);
    server.command(&["REPLICAOF", "NO", "ONE"]);
    recovered(&client).await;
}

#[tokio::test]
async fn server_that_is_not_redis_is_an_error() {
    for answer in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "+PONG\r\n+PONG\r\n+PONG\r\n", ":1\r\n:1\r\n:1\r\n"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("redis://{}", listener.local_addr().expect("its number"));
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            }
        });
        let client = client(url);
        for _ in 0..3 {
            assert!(promptly(&client).await.is_err(), "{answer}");
        }
    }
}

#[test]
fn store_built_outside_a_runtime_works_in_several_runtimes() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The connection ends with the runtime that drives it, and the next one opens its own.
    runtime().block_on(async { client.charge(1).await });
    let verdict = runtime().block_on(recovered(&client));
    assert_eq!(verdict.readings[0].remaining, 998);
}

#[test]
fn runtime_dropped_while_connecting_does_not_block_another() {
    let Some(server) = RedisServer::start() else { return };
    let client = client(server.url());
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    server.pause();
    runtime().block_on(async {
        let hurried = tokio::time::timeout(Duration::from_millis(20), client.try_charge(1));
        assert!(hurried.await.is_err());
    });
    server.resume();
    runtime().block_on(recovered(&client));
}
