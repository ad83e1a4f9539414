//! Keys from a real server on a real socket: one that rotates them, stalls, sends garbage, never stops sending, redirects,
//! fails and dies.
#![cfg(feature = "jwks-http")]

mod issuer;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{StatusCode, header};
use issuer::{Manner, Server};
use palisade_auth::{Fetch, HttpFetch, Jwks, StartUp};
use palisade_core::ManualClock;
use tokio::task::JoinSet;

const MIB: u64 = 1024 * 1024;

/// Keys `a` and `b`, loaded from a server that then changes its manner.
async fn loaded_then(manner: Manner) -> (Server, Jwks, ManualClock) {
    let server = Server::start(Manner::Publish(vec!["a", "b"])).await;
    let clock = ManualClock::default();
    let keys = server
        .keys()
        .timeout(Duration::from_millis(300))
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    keys.start(StartUp::Fail).await.unwrap();
    server.behave(manner);
    (server, keys, clock)
}

/// Every fetch fails, the keys stay, and a request that has one of them waits at most once.
async fn old_keys_survive(keys: &Jwks, clock: &ManualClock) {
    clock.advance(Duration::from_secs(601));
    assert!(keys.knows("a").await.unwrap());
    let error = keys.reload().await.unwrap_err();
    assert!(std::error::Error::source(&error).is_some(), "{error:?}");
    for _ in 0..100 {
        assert!(keys.knows("a").await.unwrap());
        assert!(keys.knows("b").await.unwrap());
    }
    assert_eq!(keys.status().generation, 1);
    assert_eq!(keys.status().failures, 2);
    let error = keys.knows("new").await.unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(error.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn keys_are_rotated_under_a_running_service() {
    let (server, keys, _clock) = loaded_then(Manner::Publish(vec!["b", "c"])).await;
    assert!(keys.knows("a").await.unwrap());
    assert!(keys.knows("c").await.unwrap());
    assert!(!keys.knows("a").await.unwrap());
    assert_eq!(keys.status().generation, 2);
    assert_eq!(server.asked(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_for_a_missing_key_share_one_fetch() {
    let (server, keys, _clock) = loaded_then(Manner::Publish(vec!["a", "b", "new"])).await;
    let mut requests = JoinSet::new();
    for _ in 0..1000 {
        let keys = keys.clone();
        requests.spawn(async move { keys.knows("new").await });
    }
    while let Some(known) = requests.join_next().await {
        assert!(known.unwrap().unwrap());
    }
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn old_keys_survive_a_dead_issuer() {
    let (server, keys, clock) = loaded_then(Manner::Publish(vec![])).await;
    server.die().await;
    old_keys_survive(&keys, &clock).await;
}

#[tokio::test]
async fn old_keys_survive_an_issuer_that_hangs() {
    let (_server, keys, clock) = loaded_then(Manner::Stall(Duration::from_secs(5))).await;
    let start = began();
    old_keys_survive(&keys, &clock).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_ne!(keys.knows("late").await.ok(), Some(true));
}

#[tokio::test]
async fn old_keys_survive_an_issuer_that_trickles() {
    let (_server, keys, clock) = loaded_then(Manner::Trickle).await;
    let start = began();
    old_keys_survive(&keys, &clock).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn garbage_replaces_no_keys() {
    for garbage in ["<html>busy</html>", "", "{}", "{\"keys\":null}", "{\"keys\":[", "null"] {
        let (_server, keys, clock) = loaded_then(Manner::Say(StatusCode::OK, garbage)).await;
        old_keys_survive(&keys, &clock).await;
    }
}

#[tokio::test]
async fn status_other_than_200_is_a_failed_fetch() {
    for status in [201, 204, 404, 429, 500, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        let manner = Manner::Say(status, "{\"keys\":[{\"kid\":\"new\"}]}");
        let (_server, keys, clock) = loaded_then(manner).await;
        old_keys_survive(&keys, &clock).await;
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (server, keys, clock) = loaded_then(Manner::Redirect("/elsewhere".to_owned())).await;
    old_keys_survive(&keys, &clock).await;
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn a_declared_length_over_the_cap_is_not_read() {
    let (server, keys, clock) =
        loaded_then(Manner::Flood { bytes: 100 * MIB, declared: true }).await;
    old_keys_survive(&keys, &clock).await;
    assert!(server.sent() < 16 * MIB, "{}", server.sent());
}

#[tokio::test]
async fn an_endless_document_is_read_up_to_the_cap() {
    let (server, keys, clock) =
        loaded_then(Manner::Flood { bytes: u64::MAX, declared: false }).await;
    old_keys_survive(&keys, &clock).await;
    // what is over the cap is in the buffers of the two sockets
    assert!(server.sent() < 16 * MIB, "{}", server.sent());
}

#[tokio::test]
async fn size_cap_is_exact_to_the_byte() {
    for declared in [true, false] {
        for (bytes, cause) in [(256 * 1024, "not a JWK set"), (256 * 1024 + 1, "more than")] {
            let server = Server::start(Manner::Flood { bytes, declared }).await;
            let keys = server.keys().build().unwrap();
            let error = keys.start(StartUp::Fail).await.unwrap_err();
            let said = std::error::Error::source(&error).unwrap().to_string();
            assert!(said.contains(cause), "{said}");
        }
    }
}

#[tokio::test]
async fn start_up_modes_wait_for_keys_or_not() {
    let server = Server::start(Manner::Say(StatusCode::BAD_GATEWAY, "")).await;
    let keys = server.keys().build().unwrap();
    keys.start(StartUp::Lazy).await.unwrap();
    assert_eq!(server.asked(), 0);
    assert!(keys.start(StartUp::Fail).await.is_err());
    assert_eq!(server.asked(), 1);
    let error = keys.start(StartUp::Wait(Duration::from_millis(100))).await.unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("502"), "{said}");

    let keys = server.keys().build().unwrap();
    let waits = tokio::spawn({
        let keys = keys.clone();
        async move { keys.start(StartUp::Wait(Duration::from_secs(30))).await }
    });
    while server.asked() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.behave(Manner::Publish(vec!["a"]));
    waits.await.unwrap().unwrap();
    assert_eq!(keys.status().generation, 1);
}

#[tokio::test]
async fn finds_keys_by_openid_discovery() {
    let server = Server::start(Manner::Publish(vec!["a"])).await;
    let issuer = server.url("/tenant");
    let builder = || Jwks::issuer(&issuer).insecure_allow_loopback_http();
    let publish = |issuer: &str, uri: &str| {
        let metadata = serde_json::json!({ "issuer": issuer, "jwks_uri": uri });
        server.describe(metadata.to_string());
    };

    publish(&issuer, &server.url("/keys"));
    assert!(builder().build().unwrap().knows("a").await.unwrap());
    assert_eq!(server.asked(), 1);

    let loopback = builder().build().unwrap();
    for (said, uri) in [
        (format!("{issuer}/"), server.url("/keys")),
        ("https://issuer.example".to_owned(), server.url("/keys")),
        (issuer.clone(), "http://192.0.2.1/keys".to_owned()),
    ] {
        publish(&said, &uri);
        assert!(loopback.reload().await.is_err(), "{said} {uri}");
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn plain_http_needs_the_insecure_setting() {
    let server = Server::start(Manner::Publish(vec!["a"])).await;
    assert!(Jwks::url(server.url("/keys")).build().is_err());
    let url = server.url("/keys").parse().unwrap();
    assert!(HttpFetch::new().unwrap().fetch(&url).await.is_err());
    let fetch = HttpFetch::new().unwrap().insecure_allow_loopback_http();
    assert!(fetch.fetch(&"http://192.0.2.1/".parse().unwrap()).await.is_err());
    assert!(fetch.fetch(&url).await.is_ok());
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_server_without_tls_gets_no_request() {
    let server = Server::start(Manner::Publish(vec!["a"])).await;
    let url = format!("https://{}/keys", server.address).parse().unwrap();
    assert!(HttpFetch::new().unwrap().fetch(&url).await.is_err());
    assert_eq!(server.asked(), 0);
}

#[allow(clippy::disallowed_methods, reason = "the time that a socket takes is real")]
fn began() -> Instant {
    Instant::now()
}
