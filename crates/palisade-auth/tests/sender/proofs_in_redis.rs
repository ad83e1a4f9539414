//! Used proofs in a real Redis server.

use palisade_auth::RedisDpopReplays;
use palisade_redis::{Redis, testing::RedisServer};

use super::*;

/// Longer than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of several instances of a service that share a server.
fn instance(server: &RedisServer, change: fn(Dpop) -> Dpop) -> Jwt<Value> {
    let redis = Redis::builder(server.url())
        .connect_timeout(PATIENCE)
        .response_timeout(PATIENCE)
        .build()
        .unwrap();
    let dpop = Dpop::new("https://api.example.com").replays(RedisDpopReplays::new(redis));
    builder().dpop(change(dpop)).build().unwrap()
}

async fn status(auth: &Jwt<Value>, token: &str, proof: &str) -> u16 {
    ask(auth, get("DPoP", token).header("dpop", proof)).await.0.as_u16()
}

#[tokio::test]
async fn instances_sharing_redis_accept_a_proof_once() {
    let Some(server) = RedisServer::start() else { return };
    let [one, other] = [(); 2].map(|()| instance(&server, |dpop| dpop));
    let client = Client::new();
    let token = client.token();
    let proof = client.proof(&token, "jti", "a");
    assert_eq!(status(&one, &token, &proof).await, 200);
    assert_eq!(status(&other, &token, &proof).await, 401);
    assert_eq!(status(&one, &token, &proof).await, 401);
    assert_eq!(status(&other, &token, &client.proof(&token, "jti", "b")).await, 200);

    // at the same time
    let proof = client.proof(&token, "jti", "c");
    let (first, second) =
        tokio::join!(status(&one, &token, &proof), status(&other, &token, &proof));
    assert_eq!(first + second, 200 + 401);

    // Another client may use the same `jti`.
    let client = Client::new();
    let token = client.token();
    assert_eq!(status(&other, &token, &client.proof(&token, "jti", "a")).await, 200);
}

#[tokio::test]
async fn proof_keys_in_redis_expire() {
    let Some(server) = RedisServer::start() else { return };
    let client = Client::new();
    let token = client.token();
    let expiries = |known: &[String]| -> Vec<i64> {
        let keys = server.keys().into_iter().filter(|key| !known.contains(key));
        keys.map(|key| server.command(&["PTTL", &key])[0].parse().unwrap()).collect()
    };

    // A proof may come `max_age` before and after its `iat`.
    let auth = instance(&server, |dpop| dpop.max_age(Duration::from_secs(600)));
    assert_eq!(status(&auth, &token, &client.proof(&token, "jti", "a")).await, 200);
    let keys = server.keys();
    assert!(keys.len() == 1 && keys[0].starts_with("palisade:dpop:"), "{keys:?}");
    assert!(!keys[0].contains(&token) && !keys[0].contains(&client.thumbprint()));
    let [left] = expiries(&[])[..] else { panic!("one key") };
    assert!((600_000..=1_201_000).contains(&left), "{left}");
    // Rejected proofs take no room.
    assert_eq!(status(&auth, &token, &client.proof(&token, "htm", "POST")).await, 401);
    assert_eq!(server.keys(), keys);

    // With nonces the nonce's lifetime counts.
    let nonces = |dpop: Dpop| dpop.nonces(SECRET, Duration::from_secs(600));
    let auth = instance(&server, nonces);
    let request = get("DPoP", &token).header("dpop", client.proof(&token, "jti", "b"));
    let (_, headers) = ask(&auth, request).await;
    let nonce = headers["dpop-nonce"].to_str().unwrap();
    assert_eq!(status(&auth, &token, &client.proof(&token, "nonce", nonce)).await, 200);
    let [left] = expiries(&keys)[..] else { panic!("one more key") };
    assert!((1..=1_201_000).contains(&left), "{left}");
    assert!(server.keys_without_expiry().is_empty());
}

#[tokio::test]
async fn proofs_are_rejected_with_503_while_redis_is_down() {
    let Some(mut server) = RedisServer::start() else { return };
    let auth = instance(&server, |dpop| dpop);
    let client = Client::new();
    let token = client.token();
    assert_eq!(status(&auth, &token, &client.proof(&token, "jti", "a")).await, 200);
    server.stop();
    assert_eq!(status(&auth, &token, &client.proof(&token, "jti", "b")).await, 503);
    assert_eq!(status(&auth, &token, &client.proof(&token, "htm", "POST")).await, 401);
    let unbound = super::token(&Value::Null);
    assert_eq!(ask(&auth, get("Bearer", &unbound)).await.0, StatusCode::OK, "needs no store");
}
