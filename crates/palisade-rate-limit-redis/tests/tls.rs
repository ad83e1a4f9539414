//! Servers that speak TLS.

mod support;

use std::time::Duration;

use palisade_rate_limit::Quota;
use palisade_rate_limit_redis::{
    Redis, RedisBuilder, RedisStore,
    testing::{RedisSentinel, RedisServer, SlowProxy},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use support::{
    Client, MINUTE,
    load::{is_decided, limit, load, recovered, store},
};

fn client(builder: RedisBuilder) -> Client {
    let redis = builder.build().expect("a server");
    let quota = Quota::per(5, MINUTE * 60).fixed_window();
    Client::new(&RedisStore::new(redis), "api", [quota])
}

/// An authority, and a certificate of it for these names with its key, all in PEM.
fn certificate_for(names: &[&str]) -> (String, String, String) {
    let mut params = CertificateParams::new([]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A certificate with the name of its issuer would be self-signed to OpenSSL.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let params = CertificateParams::new(names).expect("parameters");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let pem = |label: &str, der: &[u8]| pem::encode(&pem::Pem::new(label, der));
    (
        pem("CERTIFICATE", authority.der()),
        pem("CERTIFICATE", certificate.der()),
        pem("PRIVATE KEY", key.serialized_der()),
    )
}

#[tokio::test]
async fn only_certificates_of_the_configured_authority_are_trusted() {
    let (authority, certificate, key) = certificate_for(&["localhost"]);
    let Some(server) = RedisServer::start_with_tls(&certificate, &key) else { return };
    let trusting = client(Redis::builder(server.url()).ca_certificate(authority));
    assert_eq!(trusting.charge(2).await.charged, Some(2));
    assert_eq!(trusting.remaining().await, 3);

    // The authorities of the web do not know it, and neither does another authority.
    let (stranger, _, _) = certificate_for(&["localhost"]);
    for distrusting in [
        client(Redis::builder(server.url())),
        client(Redis::builder(server.url()).ca_certificate(stranger)),
    ] {
        let error = distrusting.try_charge(1).await.unwrap_err().to_string();
        assert!(error.contains("invalid peer certificate"), "{error}");
    }
    let plain = client(Redis::builder(server.url().replace("rediss", "redis")));
    assert!(plain.try_charge(1).await.is_err());
}

#[tokio::test]
async fn server_certificate_with_another_name_is_rejected() {
    let (authority, certificate, key) = certificate_for(&["elsewhere.example"]);
    let Some(server) = RedisServer::start_with_tls(&certificate, &key) else { return };
    let client = client(Redis::builder(server.url()).ca_certificate(authority));
    let error = client.try_charge(1).await.unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn unsupported_tls_version_is_a_clear_error() {
    let (authority, certificate, key) = certificate_for(&["localhost"]);
    let old = ["--tls-protocols", "TLSv1.1", "--tls-ciphers", "DEFAULT@SECLEVEL=0"];
    let Some(server) = RedisServer::start_with_tls_and(&certificate, &key, &old) else { return };
    let client = client(Redis::builder(server.url()).ca_certificate(authority.clone()));
    let error = client.try_charge(1).await.unwrap_err().to_string();
    assert!(error.contains("TLS 1.2 or 1.3") && error.contains("tls-protocols"), "{error}");

    // TLS 1.2 alone is enough.
    let enough = ["--tls-protocols", "TLSv1.2"];
    let server = RedisServer::start_with_tls_and(&certificate, &key, &enough).expect("a server");
    let client = self::client(Redis::builder(server.url()).ca_certificate(authority));
    assert_eq!(client.charge(1).await.charged, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_under_load_is_followed_over_tls() {
    const CLIENTS: u8 = 10;
    let (authority, certificate, key) = certificate_for(&["localhost", "127.0.0.1"]);
    for is_stall in [false, true] {
        let watched = RedisSentinel::start_with_tls(&authority, &certificate, &key);
        let Some(mut watched) = watched else { return };
        let redis = Redis::sentinel([watched.url()], RedisSentinel::MASTER);
        let limit = limit(&store(redis.ca_certificate(authority.clone())));
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
        assert_eq!(watched.replica().keys_without_expiry(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_survives_a_stall_under_load_over_tls() {
    const CLIENTS: u8 = 10;
    let (authority, certificate, key) = certificate_for(&["localhost"]);
    let Some(server) = RedisServer::start_with_tls(&certificate, &key) else { return };
    let limit = limit(&store(Redis::builder(server.url()).ca_certificate(authority)));
    recovered(&limit, CLIENTS).await;
    let clients = || {
        let clients = server.command(&["CLIENT", "LIST"]).concat();
        let ids = clients.lines().filter(|line| line.contains("cmd=evalsha"));
        let ids = ids.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        ids.collect::<Vec<_>>()
    };
    let before = clients();
    assert_eq!(before.len(), 1, "{before:?}");
    let loaded = tokio::spawn({
        let limit = limit.clone();
        async move { load(&limit, CLIENTS, 100).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.pause();
    tokio::time::sleep(Duration::from_millis(400)).await;
    server.resume();
    let decided = loaded.await.expect("the load");
    recovered(&limit, CLIENTS).await;
    // The stall is 400 ms, and the breaker waits for a second.
    assert!(decided.iter().all(|decided| *decided > 0), "{decided:?}");
    assert_eq!(clients(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_requests_to_a_distant_server_are_decided() {
    let (authority, certificate, key) = certificate_for(&["localhost"]);
    let Some(near) = RedisServer::start() else { return };
    let Some(near_tls) = RedisServer::start_with_tls(&certificate, &key) else { return };
    for round_trip in [20, 50] {
        let round_trip = Duration::from_millis(round_trip);
        for is_warm in [true, false] {
            for has_tls in [false, true] {
                let server = if has_tls { &near_tls } else { &near };
                let far = SlowProxy::start(server.port(), round_trip);
                let url = server.url().replace(&server.port().to_string(), &far.port().to_string());
                let redis = Redis::builder(url);
                let redis = if has_tls { redis.ca_certificate(authority.clone()) } else { redis };
                let store = store(redis);
                if is_warm {
                    store.ready().await.expect("a connection");
                }
                let limit = limit(&store);
                let first = (0..20).map(|client| {
                    let limit = limit.clone();
                    tokio::spawn(async move { is_decided(&limit, client).await })
                });
                for first in first.collect::<Vec<_>>() {
                    let what = format!("{round_trip:?}, TLS {has_tls}, warm {is_warm}");
                    assert!(first.await.expect("a decision"), "{what}");
                }
                let stats = limit.store_stats().expect("a store");
                assert_eq!((stats.asked, stats.failed), (20, 0));
                assert!(stats.waited >= round_trip * 20, "the proxy delays: {:?}", stats.waited);
            }
        }
    }
}
