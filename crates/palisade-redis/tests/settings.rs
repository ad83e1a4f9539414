//! Settings that make no sense.

use std::time::Duration;

use palisade_redis::{Redis, RedisBuilder};

#[test]
fn bad_settings_are_errors_with_a_remedy() {
    let refusal = |builder: RedisBuilder| builder.build().map(drop).unwrap_err().to_string();
    let url = || Redis::builder("redis://127.0.0.1");
    for wrong in ["", "127.0.0.1:6379", "http://127.0.0.1", "redis://", "redis://:hunter2@host:x"] {
        let refusal = refusal(Redis::builder(wrong));
        assert!(refusal.starts_with("url is not valid: write redis://"), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    assert!(refusal(Redis::builder("rediss://host/#insecure")).contains("no protection"));
    assert!(refusal(url().prefix("")).starts_with("prefix is not valid"));
    assert!(refusal(url().response_timeout(Duration::ZERO)).starts_with("response_timeout `0ns`"));
    assert!(refusal(url().connect_timeout(Duration::ZERO)).starts_with("connect_timeout `0ns`"));
    assert!(refusal(Redis::cluster([""; 0])).contains("at least one node"));
    assert!(refusal(Redis::cluster(["redis://a"]).database(3)).contains("database 0 only"));
    let different = ["redis://:a@one", "redis://:b@two"];
    assert!(refusal(Redis::cluster(different)).contains("same scheme"));
    assert!(refusal(Redis::sentinel(["redis://a"], "")).starts_with("master is not valid"));
    assert!(refusal(Redis::sentinel([""; 0], "m")).contains("at least one node"));
    let tls = Redis::builder("rediss://host")
        .ca_certificate("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
    assert!(refusal(tls).starts_with("certificate is not valid"));
}
