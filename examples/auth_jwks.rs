//! Tokens whose keys an issuer publishes. The example also starts an issuer:
//!
//! ```sh
//! cargo run --example auth_jwks
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example auth_jwks
//! ```

use std::{
    env,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use palisade::{
    Clock, ErrorLayer, SystemClock, WithAuth,
    auth::{Identity, Jwks, Jwt, Keys, StartUp},
    observe::RequestIds,
    stack,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    iss: String,
    aud: String,
    exp: u64,
}

async fn profile(identity: Identity<Claims>) -> Json<Value> {
    Json(json!(identity.claims()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let issuer = Issuer::start().await?;

    // The URL of the keys comes from `{issuer}/.well-known/openid-configuration`. Use https for a real issuer.
    let published = Jwks::issuer(&issuer.name).insecure_allow_loopback_http().build()?;
    published.start(StartUp::Wait(Duration::from_secs(30))).await?;
    let auth = Jwt::<Claims>::with_keys(Keys::published(&published))
        .issuer(&issuer.name)
        .audience("profiles")
        .build()?;

    let app = Router::new()
        .route("/profile", get(profile).with_auth(&auth))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));
    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3006".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, &issuer);
    axum::serve(listener, app).await?;
    Ok(())
}

// ---- A minimal issuer. ---------------------------------------------------------------------------------------------

#[derive(Clone)]
struct Issuer {
    name: String,
    keys: Arc<Mutex<Vec<Ed25519KeyPair>>>,
}

impl Issuer {
    async fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let name = format!("http://{}", listener.local_addr()?);
        let issuer = Self { name, keys: Arc::new(Mutex::new(vec![Ed25519KeyPair::generate()?])) };
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/rotate", post(rotate))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(issuer)
    }

    /// Returns a token signed with the newest key.
    fn token(&self) -> String {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let kid = keys.len() - 1;
        let exp = (SystemClock.unix() + Duration::from_secs(3600)).as_secs();
        let (sub, iss, aud) = ("ada".to_owned(), self.name.clone(), "profiles".to_owned());
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = part(json!({"alg": "EdDSA", "typ": "JWT", "kid": kid.to_string()}));
        let message = format!("{header}.{}", part(json!(Claims { sub, iss, aud, exp })));
        let signature = keys[kid].sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn discovery(State(issuer): State<Issuer>) -> Json<Value> {
    Json(json!({"issuer": issuer.name, "jwks_uri": format!("{}/keys", issuer.name)}))
}

async fn keys(State(issuer): State<Issuer>) -> Json<Value> {
    let keys = issuer.keys.lock().unwrap_or_else(PoisonError::into_inner);
    let jwk = |(kid, key): (usize, &Ed25519KeyPair)| {
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid.to_string(), "x": x})
    };
    Json(json!({"keys": keys.iter().enumerate().map(jwk).collect::<Vec<_>>()}))
}

async fn token(State(issuer): State<Issuer>) -> String {
    issuer.token()
}

async fn rotate(State(issuer): State<Issuer>) -> &'static str {
    let mut keys = issuer.keys.lock().unwrap_or_else(PoisonError::into_inner);
    match Ed25519KeyPair::generate() {
        Ok(key) => {
            keys.push(key);
            "a new key signs from now on\n"
        }
        Err(_) => "no new key\n",
    }
}

fn print_what_to_try(address: SocketAddr, issuer: &Issuer) {
    let (issuer, token) = (&issuer.name, issuer.token());
    println!(
        r#"listening on http://{address}

issuer:     {issuer}
user token: {token}

A token that the issuer has signed
  curl -i http://{address}/profile -H 'Authorization: Bearer {token}'

The issuer begins to sign with a new key, and the service finds it
  curl -X POST {issuer}/rotate
  curl -i http://{address}/profile -H "Authorization: Bearer $(curl -s -X POST {issuer}/token)"

No token, and one that nobody has signed
  curl -i http://{address}/profile
  curl -i http://{address}/profile -H 'Authorization: Bearer a.b.c'
"#
    );
}
