//! What tokens and keys tell of themselves as metrics.
#![cfg(all(feature = "jwks", feature = "testing"))]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Uri, header};
use palisade_auth::{Fetch, Fetched, Jwks, Jwt, JwtBuilder, METRICS, testing::sign_hs256};
use palisade_core::{BoxError, BoxFuture, Decision, ManualClock, Measured, Policy};
use serde::Deserialize;
use serde_json::json;

const SECRET: &str = "a signing key of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;

#[derive(Debug, Deserialize)]
struct Claims {}

fn told(part: &impl Measured) -> Vec<(&'static str, f64)> {
    let all = part.measure();
    assert!(all.iter().all(|told| METRICS.contains(told.metric)), "{all:?}");
    all.into_iter().map(|told| (told.metric.name, told.value)).collect()
}

/// Hits, misses and evictions.
fn counts(auth: &Jwt<Claims>) -> [u64; 3] {
    let told = told(auth);
    let names =
        ["hits", "misses", "evictions"].map(|name| format!("palisade_jwt_cache_{name}_total"));
    assert!(told.iter().map(|(name, _)| *name).eq(names.iter().map(|name| &**name)), "{told:?}");
    [0, 1, 2].map(|at| told[at].1 as u64)
}

fn clocked(
    change: impl Fn(JwtBuilder<Claims>) -> JwtBuilder<Claims>,
) -> (Jwt<Claims>, ManualClock) {
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let builder = Jwt::hs256(SECRET).audience("orders").clock(Arc::new(clock.clone()));
    (change(builder).build().unwrap(), clock)
}

fn token(subject: &str) -> String {
    sign_hs256(SECRET, &json!({"sub": subject, "aud": "orders", "exp": NOW + 3600}))
}

fn passes(auth: &Jwt<Claims>, token: &str) -> bool {
    let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let (head, ()) = request.body(()).unwrap().into_parts();
    matches!(auth.decide(&head), Decision::Now(Ok(_)))
}

#[test]
fn repeated_token_is_a_hit_until_verified_again() {
    let (auth, clock) = clocked(|builder| builder.cache_for(Duration::from_secs(60)));
    let ada = token("ada");
    assert!(passes(&auth, &ada));
    assert_eq!(counts(&auth), [0, 1, 0]);
    assert!(passes(&auth, &ada) && passes(&auth.clone(), &ada));
    assert_eq!(counts(&auth), [2, 1, 0], "clones count together");
    assert!(passes(&auth, &token("grace")));
    assert!(!passes(&auth, "a.b.c") && !passes(&auth, "a.b.c"), "bad ones are never found");
    assert_eq!(counts(&auth), [2, 4, 0]);

    auth.clear();
    assert!(passes(&auth, &ada));
    assert_eq!(counts(&auth), [2, 5, 0], "everything was forgotten");
    clock.advance(Duration::from_secs(60));
    assert!(passes(&auth, &ada));
    assert_eq!(counts(&auth), [2, 6, 0], "it is to be verified once a minute, and had not to go");
    let nothing: Request<()> = Request::new(());
    assert!(matches!(auth.decide(&nothing.into_parts().0), Decision::Now(Err(_))));
    assert_eq!(counts(&auth), [2, 6, 0], "there was no token");
}

#[test]
fn replaced_valid_token_is_an_eviction() {
    // one bucket, of four tokens
    let (auth, clock) = clocked(|builder| builder.cache_bytes(8 * 1024));
    let tokens: Vec<_> = (0..6).map(|at| token(&format!("caller-{at}"))).collect();
    assert!(tokens[..4].iter().all(|token| passes(&auth, token)));
    assert_eq!(counts(&auth)[2], 0);
    assert!(passes(&auth, &tokens[4]) && passes(&auth, &tokens[5]));
    assert_eq!(counts(&auth)[2], 2);
    clock.advance(Duration::from_secs(60));
    assert!(passes(&auth, &tokens[0]));
    assert_eq!(counts(&auth)[2], 2, "who left would not have been found again");
    // one that is as long as several
    let long = token(&"x".repeat(2700));
    assert!(tokens[1..5].iter().all(|token| passes(&auth, token)));
    let before = counts(&auth)[2];
    assert!(passes(&auth, &long));
    assert!(counts(&auth)[2] > before + 1, "{:?}", counts(&auth));

    let (none, _) = clocked(|builder| builder.cache_bytes(0));
    assert!(passes(&none, &tokens[0]));
    assert_eq!(told(&none), [], "there is no cache");
}

/// Answers as long as it is up.
struct Issuer(Arc<AtomicBool>);

impl Fetch for Issuer {
    fn fetch(&self, _: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        let up = self.0.load(Ordering::SeqCst);
        let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        Box::pin(async move { if up { Ok(Fetched::new(keys)) } else { Err("it is down".into()) } })
    }
}

#[tokio::test]
async fn metrics_report_key_age_and_fetches() {
    let (up, clock) = (Arc::new(AtomicBool::new(false)), ManualClock::default());
    let keys = Jwks::url("https://issuer.example/keys").fetch(Issuer(Arc::clone(&up)));
    let keys = keys.clock(Arc::new(clock.clone())).build().unwrap();
    let [usable, fetches, failures, age] =
        ["usable", "fetches_total", "fetch_failures_total", "age_seconds"]
            .map(|name| format!("palisade_jwks_{name}"));
    let is = |expected: &[(&String, f64)]| {
        let expected: Vec<_> =
            expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(told(&keys), expected);
    };
    is(&[(&usable, 0.0), (&fetches, 0.0), (&failures, 0.0)]);
    assert!(keys.reload().await.is_err());
    is(&[(&usable, 0.0), (&fetches, 1.0), (&failures, 1.0)]);
    up.store(true, Ordering::SeqCst);
    keys.reload().await.unwrap();
    clock.advance(Duration::from_secs(90));
    is(&[(&usable, 1.0), (&fetches, 2.0), (&failures, 1.0), (&age, 90.0)]);
    // far longer than they may be used
    clock.advance(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(told(&keys)[0], (&*usable, 0.0));
}
