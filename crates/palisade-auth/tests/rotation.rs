//! Tokens of an issuer that rotates its keys, checked through the whole policy on a clock that the tests move.
#![cfg(feature = "jwks")]

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, Response, StatusCode, Uri, header};
use palisade_auth::{Fetch, Fetched, Jwks, Jwt, Keys};
use palisade_core::{BoxError, BoxFuture, ManualClock};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

/// An issuer whose keys the test publishes.
#[derive(Clone, Default)]
struct Issuer {
    set: Arc<Mutex<Option<Vec<Value>>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn publish(&self, keys: &[(&Ed25519KeyPair, Option<&str>)]) {
        let jwk = |(key, kid): &(&Ed25519KeyPair, Option<&str>)| {
            let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
            let mut jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
            if let Some(kid) = kid {
                jwk["kid"] = (*kid).into();
            }
            jwk
        };
        *self.set.lock().unwrap() = Some(keys.iter().map(jwk).collect());
    }

    fn die(&self) {
        *self.set.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Fetch for Issuer {
    fn fetch(&self, _: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let set = self.set.lock().unwrap().clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            let keys = set.ok_or("the issuer is down")?;
            Ok(Fetched::new(json!({ "keys": keys }).to_string()))
        })
    }
}

struct Setup {
    issuer: Issuer,
    clock: ManualClock,
    jwt: Jwt<Value>,
}

fn setup() -> Setup {
    let issuer = Issuer::default();
    let clock = ManualClock::at(Duration::from_secs(1_700_000_000));
    let shared = Arc::new(clock.clone());
    let jwks = Jwks::url("https://issuer.example/keys")
        .fetch(issuer.clone())
        .clock(shared.clone())
        .build()
        .unwrap();
    let jwt = Jwt::with_keys(Keys::published(&jwks))
        .audience("api")
        .cache_for(Duration::from_secs(3600))
        .clock(shared)
        .build()
        .unwrap();
    Setup { issuer, clock, jwt }
}

fn token(key: &Ed25519KeyPair, kid: Option<&str>) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = match kid {
        Some(kid) => part(json!({"alg": "EdDSA", "kid": kid})),
        None => part(json!({"alg": "EdDSA"})),
    };
    let claims = part(json!({"sub": "ada", "aud": "api", "exp": 2_000_000_000}));
    let message = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

impl Setup {
    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn status(&self, token: &str) -> StatusCode {
        status(&self.jwt, token).await
    }
}

async fn status(jwt: &Jwt<Value>, token: &str) -> StatusCode {
    let service = jwt.layer().layer(service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}"));
    service.oneshot(request.body(String::new()).unwrap()).await.unwrap().status()
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::generate().unwrap()
}

#[tokio::test]
async fn a_key_replaced_under_the_same_kid_is_found() {
    for kid in [Some("only"), None] {
        let setup = setup();
        let (old, new) = (key(), key());
        setup.issuer.publish(&[(&old, kid)]);
        assert_eq!(setup.status(&token(&old, kid)).await, StatusCode::OK);
        setup.issuer.publish(&[(&new, kid)]);
        assert_eq!(setup.status(&token(&new, kid)).await, StatusCode::OK, "{kid:?}");
        assert_eq!(setup.status(&token(&old, kid)).await, StatusCode::UNAUTHORIZED);
        assert_eq!(setup.issuer.asked(), 2);
    }
}

#[tokio::test]
async fn token_signed_before_publication_passes_within_a_cool_down() {
    let setup = setup();
    let (old, new) = (key(), key());
    setup.issuer.publish(&[(&old, Some("only"))]);
    let early = token(&new, Some("only"));
    for _ in 0..100 {
        assert_eq!(setup.status(&early).await, StatusCode::UNAUTHORIZED);
        setup.pass(1);
    }
    setup.issuer.publish(&[(&new, Some("only"))]);
    let mut waited = 0;
    while setup.status(&early).await != StatusCode::OK {
        setup.pass(1);
        waited += 1;
        assert!(waited <= 30);
    }
}

#[tokio::test]
async fn forged_signatures_cause_one_fetch_per_cool_down() {
    let setup = setup();
    let (good, forger) = (key(), key());
    setup.issuer.publish(&[(&good, Some("a"))]);
    let (good, forged) = (token(&good, Some("a")), token(&forger, Some("a")));
    for _ in 0..3 {
        for _ in 0..100 {
            assert_eq!(setup.status(&forged).await, StatusCode::UNAUTHORIZED);
            assert_eq!(setup.status(&good).await, StatusCode::OK);
        }
        setup.pass(30);
    }
    assert_eq!(setup.issuer.asked(), 1 + 3);
}

#[tokio::test]
async fn tokens_with_good_signatures_cause_no_fetch() {
    let setup = setup();
    let key = key();
    setup.issuer.publish(&[(&key, Some("a"))]);
    let token = token(&key, Some("a"));
    assert_eq!(setup.status(&token).await, StatusCode::OK);
    setup.pass(300_000_100);
    assert_eq!(setup.status(&token).await, StatusCode::UNAUTHORIZED);
    let asked = setup.issuer.asked();
    for _ in 0..3 {
        setup.pass(60);
        assert_eq!(setup.status(&token).await, StatusCode::UNAUTHORIZED, "expired");
    }
    assert_eq!(setup.issuer.asked(), asked, "the signature is known to be good");
}

#[tokio::test]
async fn a_bad_signature_in_an_outage_is_401_for_one_cool_down() {
    let setup = setup();
    let (good, forger) = (key(), key());
    setup.issuer.publish(&[(&good, Some("a"))]);
    let good = token(&good, Some("a"));
    assert_eq!(setup.status(&good).await, StatusCode::OK);
    setup.issuer.die();
    let forged = token(&forger, Some("a"));
    for _ in 0..3 {
        assert_eq!(setup.status(&forged).await, StatusCode::UNAUTHORIZED);
    }
    let unknown = token(&forger, Some("new"));
    assert_eq!(setup.status(&unknown).await, StatusCode::SERVICE_UNAVAILABLE);
    setup.pass(29);
    assert_eq!(setup.status(&forged).await, StatusCode::UNAUTHORIZED);
    // The issuer may have replaced the key since.
    setup.pass(1);
    assert_eq!(setup.status(&forged).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(setup.status(&good).await, StatusCode::OK);
}

#[tokio::test]
async fn a_key_replaced_under_the_same_kid_is_503_in_an_outage() {
    for kid in [Some("only"), None] {
        let setup = setup();
        let (old, new, forger) = (key(), key(), key());
        setup.issuer.publish(&[(&old, kid)]);
        assert_eq!(setup.status(&token(&old, kid)).await, StatusCode::OK);
        setup.issuer.die();
        setup.pass(60);
        let (early, forged) = (token(&new, kid), token(&forger, kid));
        for _ in 0..100 {
            assert_eq!(setup.status(&early).await, StatusCode::SERVICE_UNAVAILABLE, "{kid:?}");
            assert_eq!(setup.status(&forged).await, StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!(setup.issuer.asked(), 2, "one back-off");
        setup.issuer.publish(&[(&new, kid)]);
        setup.pass(2);
        assert_eq!(setup.status(&early).await, StatusCode::OK);
        for _ in 0..100 {
            assert_eq!(setup.status(&forged).await, StatusCode::UNAUTHORIZED);
        }
        assert!(setup.issuer.asked() <= 4, "{}", setup.issuer.asked());
    }
}

#[tokio::test]
async fn cached_token_of_a_withdrawn_key_is_rejected() {
    for published in [true, false] {
        let setup = setup();
        let (old, new) = (key(), key());
        setup.issuer.publish(&[(&old, Some("old"))]);
        let remembered = token(&old, Some("old"));
        assert_eq!(setup.status(&remembered).await, StatusCode::OK);
        let keys = [(&new, Some("new"))];
        setup.issuer.publish(if published { &keys } else { &[] });
        setup.pass(600);
        assert_eq!(setup.status(&remembered).await, StatusCode::UNAUTHORIZED, "{published}");
    }
}

#[tokio::test]
async fn cached_tokens_are_accepted_while_the_issuer_is_down() {
    let setup = setup();
    let key = key();
    setup.issuer.publish(&[(&key, Some("a"))]);
    let (remembered, other) = (token(&key, Some("a")), token(&key, Some("a")) + "x");
    assert_eq!(setup.status(&remembered).await, StatusCode::OK);
    setup.issuer.die();
    setup.pass(600);
    assert_eq!(setup.status(&remembered).await, StatusCode::OK);
    assert_eq!(setup.status(&remembered).await, StatusCode::OK);
    assert_eq!(setup.status(&other).await, StatusCode::UNAUTHORIZED);
    setup.pass(3600);
    assert_eq!(setup.status(&remembered).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_requests_pass_during_key_rotation() {
    let setup = setup();
    let mut keys = vec![key()];
    setup.issuer.publish(&[(&keys[0], Some("0"))]);
    assert_eq!(setup.status(&token(&keys[0], Some("0"))).await, StatusCode::OK);
    for round in 1..=10 {
        keys.push(key());
        let kid = round.to_string();
        let old = (round - 1).to_string();
        setup.issuer.publish(&[(&keys[round], Some(&kid)), (&keys[round - 1], Some(&old))]);
        let tokens =
            [token(&keys[round], Some(&kid)), token(&keys[round - 1], Some(&old))].map(Arc::new);
        let forged = Arc::new(token(&key(), Some(&format!("forged {round}"))));
        let requests: Vec<_> = (0..1000)
            .map(|at| {
                let jwt = setup.jwt.clone();
                let token = Arc::clone(if at % 10 == 9 { &forged } else { &tokens[at % 2] });
                tokio::spawn(async move { (at, status(&jwt, &token).await) })
            })
            .collect();
        for request in requests {
            let (at, status) = request.await.unwrap();
            let expected = if at % 10 == 9 { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            assert_eq!(status, expected, "{round} {at}");
        }
        setup.pass(31);
    }
    assert!(setup.issuer.asked() <= 1 + 2 * 10, "{}", setup.issuer.asked());
}
