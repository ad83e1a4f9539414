//! Tokens that are issued here and verified here, by jsonwebtoken, and after a rotation. Runs over the backend that the features
//! name; `scripts/test` runs it over each.
#![cfg(feature = "issuer")]

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use palisade_auth::{
    Algorithm, IssueError, Jwt, Keys, SigningKey, TokenIssuer, TokenIssuerBuilder,
};
use palisade_core::{ApiError, ManualClock};
use serde_json::{Value, json};
use tower::ServiceExt;

const NAME: &str = "https://login.example.com";
const SECRET: &str = "a signing key of at least sixty-four bytes, which is what HS512 needs";

fn clock() -> ManualClock {
    ManualClock::at(Duration::from_secs(1_800_000_000))
}

fn issuer(key: SigningKey, clock: &ManualClock) -> TokenIssuerBuilder {
    TokenIssuer::new(NAME, key).audience("orders").clock(Arc::new(clock.clone()))
}

fn verifier(keys: Keys, clock: &ManualClock) -> Jwt<Value> {
    Jwt::with_keys(keys)
        .issuer(NAME)
        .audience("orders")
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap()
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&B64.decode(part).unwrap()).unwrap()
}

/// The algorithms that the build signs with.
fn algorithms() -> Vec<Algorithm> {
    use Algorithm::*;
    let mut algorithms = vec![Hs256, Hs384, Hs512];
    if cfg!(any(feature = "aws-lc", feature = "rust-crypto")) {
        algorithms.extend([Es256, Es384, EdDsa, Ed25519]);
    }
    if cfg!(feature = "aws-lc") {
        algorithms.extend([Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es512]);
    }
    algorithms
}

#[tokio::test]
async fn tokens_of_each_algorithm_verify_and_changed_ones_do_not() {
    for algorithm in algorithms() {
        let clock = clock();
        let key = SigningKey::generate(algorithm).unwrap();
        let issuer = issuer(key, &clock).build().unwrap();
        let auth = verifier(issuer.keys(), &clock);
        let token = issuer.token("ada").roles(["admin"]).sign().unwrap();
        let token = token.as_str();
        assert_eq!(part(token, 0)["alg"], algorithm.name());
        let identity =
            auth.verify(token).await.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(identity.principal().subject(), "ada");
        assert!(identity.principal().has_role("admin"), "{algorithm}");

        let parts: Vec<&str> = token.split('.').collect();
        for changed in 0..3 {
            let mut bytes = B64.decode(parts[changed]).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            parts[changed] = B64.encode(bytes);
            let error = auth.verify(&parts.join(".")).await.unwrap_err();
            assert_eq!(error.code(), "UNAUTHENTICATED", "{algorithm}, part {changed}");
        }
        let other = issuer_of_another_key(algorithm, &clock);
        assert!(auth.verify(&other).await.is_err(), "{algorithm}: the key of another issuer");
    }
}

fn issuer_of_another_key(algorithm: Algorithm, clock: &ManualClock) -> String {
    let issuer = issuer(SigningKey::generate(algorithm).unwrap(), clock).build().unwrap();
    issuer.token("ada").sign().unwrap().into_string()
}

#[test]
#[cfg(any(feature = "aws-lc", feature = "rust-crypto"))]
fn jsonwebtoken_decodes_the_tokens_with_the_published_keys() {
    use jsonwebtoken::{DecodingKey, Validation, crypto::CryptoProvider, jwk::JwkSet};
    // With two backends in the build jsonwebtoken has no default. Another test may have set it.
    let _ = CryptoProvider::install_default(&jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER);
    for algorithm in algorithms() {
        // jsonwebtoken has neither of them.
        if matches!(algorithm, Algorithm::Es512 | Algorithm::Ed25519) {
            continue;
        }
        let secret = SECRET.as_bytes();
        let is_secret = algorithm.name().starts_with("HS");
        let key = if is_secret {
            SigningKey::secret(algorithm, SECRET).unwrap()
        } else {
            SigningKey::generate(algorithm).unwrap()
        };
        let issuer = TokenIssuer::new(NAME, key).audience("orders").build().unwrap();
        let token = issuer.token("ada").claims(&json!({ "plan": "team" })).sign().unwrap();
        let header = jsonwebtoken::decode_header(token.as_str()).unwrap();
        let key = if is_secret {
            assert_eq!(issuer.key_set(), json!({ "keys": [] }), "a secret is not published");
            DecodingKey::from_secret(secret)
        } else {
            let set: JwkSet = serde_json::from_value(issuer.key_set()).unwrap();
            DecodingKey::from_jwk(set.find(header.kid.as_deref().unwrap()).unwrap()).unwrap()
        };
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[NAME]);
        validation.set_audience(&["orders"]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        let decoded = jsonwebtoken::decode::<Value>(token.as_str(), &key, &validation);
        let claims = decoded.unwrap_or_else(|error| panic!("{algorithm}: {error}")).claims;
        assert_eq!((&claims["sub"], &claims["plan"]), (&json!("ada"), &json!("team")));
        assert_eq!(claims["jti"], token.id());
    }
}

#[test]
fn token_has_registered_and_custom_claims() {
    let clock = clock();
    let key = SigningKey::secret(Algorithm::Hs256, SECRET).unwrap().with_id("2026-11").unwrap();
    let issuer = issuer(key, &clock).audience("billing").build().unwrap();
    let token = issuer
        .token("ada")
        .roles(["admin", "editor"])
        .scopes(["orders:read", "orders:write"])
        .tenants(["acme"])
        .claims(&json!({ "plan": "team" }))
        .lifetime(Duration::from_secs(90))
        .sign()
        .unwrap();
    assert_eq!(part(token.as_str(), 0), json!({ "alg": "HS256", "kid": "2026-11", "typ": "JWT" }));
    let now = 1_800_000_000;
    let expected = json!({
        "iss": NAME, "sub": "ada", "aud": ["orders", "billing"],
        "exp": now + 90, "nbf": now, "iat": now, "jti": token.id(),
        "roles": ["admin", "editor"], "scope": "orders:read orders:write", "tenants": ["acme"],
        "plan": "team",
    });
    assert_eq!(part(token.as_str(), 1), expected);
    assert_eq!(token.lifetime(), Duration::from_secs(90));
    assert_eq!(token.expires_at(), Duration::from_secs(now + 90));
    let again = issuer.token("ada").audience("orders").sign().unwrap();
    assert_ne!(again.id(), token.id());
    assert_eq!(part(again.as_str(), 1)["aud"], "orders");
    assert_eq!(again.lifetime(), Duration::from_secs(600));
}

#[tokio::test]
async fn access_tokens_follow_their_profile_and_expire() {
    let clock = clock();
    let key = SigningKey::secret(Algorithm::Hs256, SECRET).unwrap();
    let issuer = issuer(key, &clock).access_tokens().build().unwrap();
    assert!(matches!(issuer.token("ada").sign(), Err(IssueError::MissingClient)));
    let token = issuer.token("ada").client("web").sign().unwrap();
    let auth = Jwt::<()>::with_keys(issuer.keys())
        .issuer(NAME)
        .audience("orders")
        .access_tokens_only()
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    assert!(auth.verify(token.as_str()).await.is_ok());
    clock.advance(Duration::from_secs(600 + 59));
    assert!(auth.verify(token.as_str()).await.is_ok(), "the skew of the verifier");
    clock.advance(Duration::from_secs(1));
    assert!(auth.verify(token.as_str()).await.is_err());
}

#[test]
fn reserved_or_non_object_claims_are_errors() {
    let key = SigningKey::secret(Algorithm::Hs256, SECRET).unwrap();
    let issuer = TokenIssuer::new(NAME, key).audience("orders").build().unwrap();
    for name in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"] {
        let error = issuer.token("ada").claims(&json!({ name: 1 })).sign().unwrap_err();
        assert!(matches!(&error, IssueError::ReservedClaim(claim) if claim == name), "{error}");
    }
    let twice = issuer.token("ada").roles(["user"]).claims(&json!({ "roles": ["admin"] })).sign();
    assert!(matches!(twice, Err(IssueError::ReservedClaim(_))));
    assert!(matches!(issuer.token("").sign(), Err(IssueError::EmptySubject)));
    let list = issuer.token("ada").claims(&["admin"]).sign();
    assert!(matches!(list, Err(IssueError::Claims(_))));
    let long = issuer.token("ada").lifetime(Duration::from_secs(3601)).sign().unwrap_err();
    assert!(long.to_string().contains("max_lifetime"), "{long}");
    let error = ApiError::from(issuer.token("ada").lifetime(Duration::ZERO).sign().unwrap_err());
    assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn invalid_settings_are_config_errors_with_a_remedy() {
    let key = || SigningKey::secret(Algorithm::Hs256, SECRET).unwrap();
    let named = |id: &str| key().with_id(id).unwrap();
    let issuer = |key| TokenIssuer::new(NAME, key).audience("orders");
    let hour = Duration::from_secs(3600);
    let errors = [
        (TokenIssuer::new("", key()).audience("orders").build(), "name the issuer"),
        (TokenIssuer::new(NAME, key()).build(), ".audience("),
        (issuer(key()).lifetime(hour * 2).build(), "max_lifetime"),
        (issuer(key()).lifetime(Duration::ZERO).build(), "1 s"),
        (issuer(key()).previous_key(named("b")).build(), "current key has no id"),
        (issuer(named("a")).previous_key(key()).build(), ".with_id("),
        (issuer(named("a")).next_key(named("a")).build(), "of its own"),
    ];
    for (result, remedy) in errors {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(remedy), "{error}");
    }
    assert!(
        SigningKey::secret(Algorithm::Hs256, "short").unwrap_err().to_string().contains("openssl")
    );
    assert!(
        SigningKey::secret(Algorithm::Es256, SECRET).unwrap_err().to_string().contains("HS256")
    );
    assert!(key().with_id("").is_err());
    assert!(key().with_id("x".repeat(257)).is_err());
}

#[tokio::test]
async fn rotated_keys_verify_until_their_tokens_expire() {
    let clock = clock();
    let secret = |id: &str| SigningKey::generate(Algorithm::Hs256).unwrap().with_id(id).unwrap();
    let issuer = issuer(secret("a"), &clock).build().unwrap();
    let long = issuer.token("ada").lifetime(Duration::from_secs(3600)).sign().unwrap();
    let next = secret("b");
    issuer.announce(&next).unwrap();
    assert_eq!(part(issuer.token("ada").sign().unwrap().as_str(), 0)["kid"], "a");
    issuer.rotate(next).unwrap();
    let new = issuer.token("ada").sign().unwrap();
    assert_eq!(part(new.as_str(), 0)["kid"], "b");
    clock.advance(Duration::from_secs(3600 + 59));
    assert!(verifier(issuer.keys(), &clock).verify(long.as_str()).await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert!(verifier(issuer.keys(), &clock).verify(long.as_str()).await.is_err());
    let error = issuer.rotate(secret("b")).unwrap_err();
    assert!(error.to_string().contains("of its own"), "{error}");
    issuer.rotate(secret("a")).expect("the id of a key that is gone");
}

#[tokio::test]
#[cfg(any(feature = "aws-lc", feature = "rust-crypto"))]
async fn published_keys_follow_a_rotation() {
    use palisade_auth::Jwks;
    let clock = clock();
    let generate = || SigningKey::generate(Algorithm::EdDsa).unwrap();
    let issuer = issuer(generate(), &clock).build().unwrap();
    let count = |issuer: &TokenIssuer| issuer.key_set()["keys"].as_array().unwrap().len();
    let jwks = Jwks::issuer(NAME).fetch(issuer.clone()).build().unwrap();
    let auth = verifier(Keys::published(&jwks), &clock);
    let old = issuer.token("ada").sign().unwrap();
    assert!(auth.verify(old.as_str()).await.is_ok());
    issuer.rotate(generate()).unwrap();
    assert_eq!(count(&issuer), 2);
    let new = issuer.token("ada").sign().unwrap();
    assert!(auth.verify(new.as_str()).await.is_ok(), "the new key is fetched");
    assert!(auth.verify(old.as_str()).await.is_ok(), "the old key is published");
    clock.advance(Duration::from_secs(3660));
    assert_eq!(count(&issuer), 1);
    let published = issuer.key_set().to_string();
    assert!(!published.contains("\"d\""), "{published}");
}

#[tokio::test]
async fn key_set_is_served_with_cache_control() {
    let key = SigningKey::secret(Algorithm::Hs256, SECRET).unwrap();
    let builder = TokenIssuer::new(NAME, key).audience("orders");
    let issuer = builder.cache_keys_for(Duration::from_secs(60)).build().unwrap();
    let service = issuer.key_set_service();
    let send = |method: &str| {
        let request = Request::builder().method(method).body(()).unwrap();
        service.clone().oneshot(request)
    };
    let response = send("GET").await.unwrap();
    assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=60");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/jwk-set+json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), issuer.key_set());
    let head = send("HEAD").await.unwrap();
    assert_eq!(head.headers()[header::CONTENT_LENGTH], body.len().to_string());
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    let post = send("POST").await.unwrap();
    assert_eq!(
        (post.status().as_u16(), &post.headers()[header::ALLOW]),
        (405, &"GET, HEAD".parse().unwrap())
    );
}

#[test]
fn debug_shows_no_secret_and_no_token() {
    let key = SigningKey::secret(Algorithm::Hs256, SECRET).unwrap().with_id("a").unwrap();
    let builder = TokenIssuer::new(NAME, key.clone()).audience("orders");
    let mut shown = format!("{key:?} {builder:?}");
    let issuer = builder.build().unwrap();
    let token = issuer.token("ada").sign().unwrap();
    shown += &format!(
        "{issuer:?} {:?} {:?} {:?}",
        issuer.keys(),
        issuer.token("ada"),
        issuer.key_set_service()
    );
    shown += &format!("{token:?}");
    assert!(!shown.contains(SECRET) && !shown.contains(&B64.encode(SECRET)), "{shown}");
    assert!(!shown.contains(token.as_str()), "{shown}");
}
