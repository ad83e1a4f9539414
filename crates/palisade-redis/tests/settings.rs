//! Settings that are not valid.

use std::time::Duration;

use palisade_redis::{Redis, RedisBuilder, testing::RedisServer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

#[test]
fn invalid_settings_are_config_errors_with_a_remedy() {
    let refusal = |builder: RedisBuilder| builder.build().map(drop).unwrap_err().to_string();
    let url = || Redis::builder("redis://127.0.0.1");
    for wrong in ["", "127.0.0.1:6379", "http://127.0.0.1", "redis://", "redis://:hunter2@host:x"] {
        let refusal = refusal(Redis::builder(wrong));
        assert!(refusal.starts_with("url is not valid: write redis://"), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    assert!(refusal(Redis::builder("rediss://host/#insecure")).contains("does not protect"));
    assert!(refusal(url().prefix("")).starts_with("prefix is not valid"));
    assert!(refusal(url().response_timeout(Duration::ZERO)).starts_with("response_timeout `0ns`"));
    assert!(refusal(url().connect_timeout(Duration::ZERO)).starts_with("connect_timeout `0ns`"));
    assert!(refusal(Redis::cluster([""; 0])).contains("at least one node"));
    assert!(refusal(Redis::cluster(["redis://a"]).database(3)).contains("database 0 only"));
    let different = ["redis://:a@one", "redis://:b@two"];
    assert!(refusal(Redis::cluster(different)).contains("same scheme"));
    assert!(refusal(Redis::sentinel(["redis://a"], "")).starts_with("master is not valid"));
    assert!(refusal(Redis::sentinel([""; 0], "m")).contains("at least one node"));
}

fn pem(label: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, der))
}

/// An authority, a certificate of it for localhost, and two keys, of which the first is that of the certificate.
fn certificates() -> [String; 4] {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let other = KeyPair::generate().unwrap();
    [
        pem("CERTIFICATE", authority.der()),
        pem("CERTIFICATE", certificate.der()),
        pem("PRIVATE KEY", key.serialized_der()),
        pem("PRIVATE KEY", other.serialized_der()),
    ]
}

#[test]
fn invalid_certificates_are_config_errors() {
    let [authority, certificate, key, other_key] = certificates();
    let tls = || Redis::builder("rediss://localhost");
    let error = |builder: RedisBuilder| builder.build().map(drop).unwrap_err();
    let garbage = pem("CERTIFICATE", &[0]);
    for none in ["", "no certificate", &key, &garbage] {
        assert_eq!(error(tls().ca_certificate(none)).setting(), "ca_certificate", "{none}");
    }
    for (chain, key) in [
        ("", key.as_str()),
        ("no certificate", &key),
        (&garbage, &key),
        (&certificate, ""),
        (&certificate, "no key"),
        (&certificate, &other_key),
    ] {
        let refused = error(tls().client_certificate(chain, key.to_owned()));
        assert_eq!(refused.setting(), "client_certificate", "{chain}");
        assert!(!refused.to_string().contains("PRIVATE"), "{refused}");
    }
    assert!(
        tls()
            .ca_certificate(authority.clone())
            .client_certificate(certificate, key)
            .build()
            .is_ok()
    );

    let plain = || Redis::builder("redis://localhost");
    assert_eq!(error(plain().ca_certificate(authority.clone())).setting(), "ca_certificate");
    let cluster = Redis::cluster(["redis://localhost"]).ca_certificate(authority.clone());
    assert!(error(cluster).to_string().contains("rediss://"));
    let sentinels = Redis::sentinel(["redis://localhost"], "m").ca_certificate(authority);
    assert_eq!(error(sentinels).setting(), "ca_certificate");
}

#[tokio::test]
async fn handshake_error_names_its_cause() {
    let [authority, certificate, key, _] = certificates();
    let Some(tls) = RedisServer::start_with_tls(&certificate, &key) else { return };
    let Some(plain) = RedisServer::start() else { return };
    let told = async |builder: RedisBuilder| {
        let error = builder.build().unwrap().ready().await.unwrap_err();
        error.to_string()
    };
    let url = format!("redis://localhost:{}", tls.port());
    let error = told(Redis::builder(url)).await;
    assert!(error.contains("rediss:// in place of redis://"), "{error}");
    let url = format!("rediss://localhost:{}", plain.port());
    let error = told(Redis::builder(url).ca_certificate(authority.clone())).await;
    assert!(
        error.contains("does not speak TLS") && error.contains("redis:// in place of"),
        "{error}"
    );

    let brief = Duration::from_millis(150);
    plain.pause();
    let silent = Redis::builder(plain.url()).connect_timeout(brief).response_timeout(brief);
    let error = told(silent).await;
    assert!(error.contains("150ms") && error.contains("connect"), "{error}");
}

#[tokio::test]
async fn ready_connects_and_loads_the_scripts() {
    let Some(server) = RedisServer::start() else { return };
    let redis = Redis::builder(server.url()).build().unwrap();
    let script = palisade_redis::Script::new("return { 7 }");
    redis.preload(&script);
    assert!(redis.connecting("").is_some());
    redis.ready().await.unwrap();
    assert!(redis.connecting("").is_none(), "nothing to wait for");
    assert_eq!(redis.run(&script, &[], &[]).await.unwrap(), [7]);
    let stats = server.command(&["INFO", "commandstats"]).concat();
    assert!(stats.contains("cmdstat_evalsha:calls=1"), "{stats}");
    assert!(!stats.contains("cmdstat_eval:"), "it was known by its hash: {stats}");
}
