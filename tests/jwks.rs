//! Tokens whose keys an issuer publishes: a real issuer that rotates its keys and dies, asked through the whole stack.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::{Json, Router, extract::State, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{StatusCode, Version};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use palisade::{
    ErrorLayer, WithAuth,
    auth::{Identity, Jwks, Jwt, Keys, StartUp},
    stack,
};
use palisade_tests::Client;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A key and its name.
type Published = (String, Arc<Ed25519KeyPair>);

/// An OpenID issuer, as small as one can be.
#[derive(Clone, Default)]
struct Issuer {
    name: Arc<Mutex<String>>,
    keys: Arc<Mutex<Vec<Published>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(&self) -> JoinHandle<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        *self.name.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
    }

    fn name(&self) -> String {
        self.name.lock().unwrap().clone()
    }

    fn publish(&self, kid: &str) {
        let key = Arc::new(Ed25519KeyPair::generate().unwrap());
        self.keys.lock().unwrap().push((kid.to_owned(), key));
    }

    fn token(&self, kid: &str, signed_with: &str) -> String {
        let keys = self.keys.lock().unwrap();
        let (_, key) = keys.iter().find(|(name, _)| name == signed_with).unwrap();
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let claims = json!({"sub": "ada", "aud": "api", "exp": u32::MAX, "iss": self.name()});
        // With two backends in the build jsonwebtoken has no default provider.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let key = EncodingKey::from_ed_der(key.to_pkcs8v1().unwrap().as_ref());
        format!("authorization: Bearer {}", jsonwebtoken::encode(&header, &claims, &key).unwrap())
    }
}

async fn discovery(State(issuer): State<Issuer>) -> Json<Value> {
    let name = issuer.name();
    Json(json!({"issuer": name, "jwks_uri": format!("{name}/keys")}))
}

async fn keys(State(issuer): State<Issuer>) -> Json<Value> {
    issuer.asked.fetch_add(1, Ordering::SeqCst);
    let keys = issuer.keys.lock().unwrap();
    let keys: Vec<_> = keys
        .iter()
        .map(|(kid, key)| {
            let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
        })
        .collect();
    Json(json!({"keys": keys}))
}

async fn serve(jwks: &Jwks, issuer: &str) -> Client {
    let auth = Jwt::<Value>::with_keys(Keys::published(jwks)).issuer(issuer).audience("api");
    let auth = auth.build().unwrap();
    let whoami = |identity: Identity<Value>| async move { identity.claims()["sub"].to_string() };
    let app = Router::new()
        .route("/", get(whoami).with_auth(&auth))
        .layer(stack().errors(ErrorLayer::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Client::new(address, Version::HTTP_2)
}

fn jwks_of(issuer: &Issuer) -> Jwks {
    Jwks::issuer(issuer.name()).insecure_allow_loopback_http().build().unwrap()
}

async fn status(client: &Client, token: &str) -> StatusCode {
    client.get("/", &[token]).await.status
}

#[tokio::test]
async fn first_token_loads_the_keys_and_a_rotated_key_is_found() {
    let issuer = Issuer::default();
    issuer.publish("a");
    let _serving = issuer.start().await;
    let client = serve(&jwks_of(&issuer), &issuer.name()).await;
    assert_eq!(client.get("/", &[&issuer.token("a", "a")]).await.text(), "\"ada\"");
    issuer.publish("b");
    assert_eq!(status(&client, &issuer.token("b", "b")).await, StatusCode::OK, "rotated");
    assert_eq!(status(&client, &issuer.token("a", "b")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_unknown_key_ids_cause_one_fetch() {
    let issuer = Issuer::default();
    issuer.publish("a");
    let _serving = issuer.start().await;
    let jwks = jwks_of(&issuer);
    jwks.start(StartUp::Fail).await.unwrap();
    let client = serve(&jwks, &issuer.name()).await;
    let requests: Vec<_> = (0..1_000)
        .map(|at| {
            let (client, token) = (client.clone(), issuer.token(&format!("made-up-{at}"), "a"));
            tokio::spawn(async move { status(&client, &token).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2, "at the start, and once for all of them");
    assert_eq!(status(&client, &issuer.token("a", "a")).await, StatusCode::OK);
}

#[tokio::test]
async fn known_keys_verify_tokens_while_the_issuer_is_down() {
    let issuer = Issuer::default();
    issuer.publish("a");
    let serving = issuer.start().await;
    let client = serve(&jwks_of(&issuer), &issuer.name()).await;
    let token = issuer.token("a", "a");
    assert_eq!(status(&client, &token).await, StatusCode::OK);
    serving.abort();
    let _ = serving.await;
    assert_eq!(status(&client, &token).await, StatusCode::OK);
    let mut other = issuer.token("a", "a");
    other.push('x');
    assert_eq!(status(&client, &other).await, StatusCode::UNAUTHORIZED);

    // without any keys the token cannot be checked: 503 without a challenge
    let client = serve(&jwks_of(&issuer), &issuer.name()).await;
    let answer = client.get("/", &[&token]).await;
    assert_eq!(
        (answer.status, &*answer.error_code()),
        (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE")
    );
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert!(answer.header("www-authenticate").is_none());
}

#[tokio::test]
async fn example_finds_the_rotated_key() {
    let mut example = palisade_tests::Example::start("auth_jwks");
    let issuer = example.line_after("issuer:");
    let issuer: SocketAddr = issuer.trim().trim_start_matches("http://").parse().unwrap();
    let issuer = Client::new(issuer, Version::HTTP_11);
    let client = Client::new(example.address, Version::HTTP_11);
    let first = format!("authorization: Bearer {}", example.token("user"));
    assert_eq!(client.get("/profile", &[&first]).await.json()["sub"], "ada");
    issuer.call(http::Method::POST, "/rotate", &[]).await;
    let second = issuer.call(http::Method::POST, "/token", &[]).await.text();
    let second = format!("authorization: Bearer {second}");
    assert_eq!(client.get("/profile", &[&second]).await.status, StatusCode::OK);
    assert_eq!(client.get("/profile", &[&first]).await.status, StatusCode::OK);
    assert_eq!(client.get("/profile", &[]).await.error_code(), "UNAUTHENTICATED");
}
