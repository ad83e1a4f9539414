use std::{sync::Arc, time::Duration};

use palisade::{
    ManualClock,
    auth::{Algorithm, Jwks, Jwt, Keys, SigningKey},
};
use palisade_testing::{TestIssuer, TestToken};
use serde_json::{Value, json};

use crate::{SECRET, message_of};

fn auth(issuer: &TestIssuer) -> Jwt<Value> {
    Jwt::with_keys(issuer.keys()).issuer(issuer.name()).audience(issuer.audience()).build().unwrap()
}

#[tokio::test]
async fn tokens_have_the_claims_that_were_set() {
    let issuer = TestIssuer::new().named("https://login.test").for_audience("orders");
    let token =
        issuer.token("ada").role("admin").role("editor").tenant("acme").scope("a").scope("b");
    let token = token.claim("plan", "team").claims(&json!({ "age": 36 })).build();
    let identity = auth(&issuer).verify(&token).await.unwrap();
    let principal = identity.principal();
    assert_eq!((principal.subject(), principal.issuer()), ("ada", "https://login.test"));
    assert!(principal.has_role("admin") && principal.has_role("editor"));
    assert!(principal.has_scope("a") && principal.has_scope("b"));
    assert_eq!(principal.tenants().collect::<Vec<_>>(), ["acme"]);
    assert_eq!(
        (&identity.claims()["plan"], &identity.claims()["age"]),
        (&json!("team"), &json!(36))
    );
}

#[tokio::test]
async fn each_flawed_token_is_rejected() {
    type Flaw = fn(TestToken) -> TestToken;
    let flaws: [(&str, Flaw); 6] = [
        ("exp", TestToken::expired),
        ("nbf", TestToken::not_yet_valid),
        ("audience", |token| token.for_audience("another")),
        ("issuer", |token| token.from_issuer("https://another.test")),
        ("signature", TestToken::tampered),
        ("key", TestToken::signed_by_unknown_key),
    ];
    for issuer in [TestIssuer::new(), TestIssuer::hs256(SECRET)] {
        let auth = auth(&issuer);
        assert!(auth.verify(&issuer.token("ada").build()).await.is_ok());
        for (name, flaw) in flaws {
            let token = flaw(issuer.token("ada")).build();
            assert!(auth.verify(&token).await.is_err(), "{name}");
        }
    }
}

#[tokio::test]
async fn tokens_follow_a_manual_clock() {
    let clock = ManualClock::at(Duration::from_secs(1_800_000_000));
    let issuer = TestIssuer::new().with_clock(&clock);
    let auth = Jwt::<()>::with_keys(issuer.keys()).audience("test").clock(Arc::new(clock.clone()));
    let auth = auth.build().unwrap();
    let token = issuer.token("ada").valid_for(Duration::from_secs(60)).build();
    assert!(auth.verify(&token).await.is_ok());
    clock.advance(Duration::from_secs(120));
    assert!(auth.verify(&token).await.is_err());
    assert!(auth.verify(&issuer.token("ada").build()).await.is_ok());
}

#[tokio::test]
async fn published_keys_rotate_without_a_server() {
    let issuer = TestIssuer::with_key(SigningKey::generate(Algorithm::Es256).unwrap());
    let auth =
        Jwt::<()>::with_keys(Keys::published(&issuer.jwks())).audience("test").build().unwrap();
    let old = issuer.token("ada").build();
    assert!(auth.verify(&old).await.is_ok());
    issuer.rotate();
    let new = issuer.token("ada").build();
    assert!(auth.verify(&new).await.is_ok());
    assert!(auth.verify(&old).await.is_ok());
    issuer.withdraw_old_keys();
    assert_eq!(issuer.key_set()["keys"].as_array().unwrap().len(), 1);
    assert!(message_of(|| TestIssuer::hs256(SECRET).rotate()).contains("TestIssuer::new()"));
    assert!(message_of(|| drop(TestIssuer::hs256("short"))).contains("at least 32 bytes"));
    let list = message_of(|| drop(issuer.token("ada").claims(&["admin"])));
    assert!(list.contains("object"), "{list}");
}

#[tokio::test]
async fn opaque_tokens_are_introspected_without_a_server() {
    let issuer = TestIssuer::new();
    let auth = issuer.introspection::<Value>().cache_for(Duration::ZERO).build().unwrap();
    let token = issuer.token("ada").role("admin").opaque();
    assert!(auth.verify(&token).await.unwrap().principal().has_role("admin"));
    issuer.revoke(&token);
    assert!(auth.verify(&token).await.is_err());
}

#[tokio::test]
async fn server_publishes_keys_by_discovery_and_stops_on_drop() {
    let server = TestIssuer::new().for_audience("orders").serve().await;
    let jwks = Jwks::issuer(server.url()).insecure_allow_loopback_http().build().unwrap();
    let auth = Jwt::<()>::with_keys(Keys::published(&jwks)).audience("orders").build().unwrap();
    let token = server.issuer().token("ada").build();
    assert_eq!(auth.verify(&token).await.unwrap().principal().issuer(), server.url());
    server.issuer().rotate();
    assert!(auth.verify(&server.issuer().token("ada").build()).await.is_ok());

    let address = server.url().trim_start_matches("http://").to_owned();
    assert!(tokio::net::TcpStream::connect(&address).await.is_ok());
    drop(server);
    // The task ends when the runtime polls it for the last time.
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(&address).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the server at {address} still listens");
}

#[tokio::test]
async fn server_introspects_opaque_tokens() {
    use palisade::auth::Introspection;
    let server = TestIssuer::new().for_audience("orders").serve().await;
    let (id, secret) = server.issuer().client_credentials();
    let auth = Introspection::<()>::endpoint(server.introspection_url())
        .client_secret_basic(id, secret)
        .audience("orders")
        .insecure_allow_loopback_http()
        .build()
        .unwrap();
    let token = server.issuer().token("ada").opaque();
    assert_eq!(auth.verify(&token).await.unwrap().principal().subject(), "ada");
    assert!(auth.verify("another").await.is_err());
}
