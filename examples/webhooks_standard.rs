//! Standard Webhooks: a sender that signs, and a receiver that verifies. Run it, and paste the commands
//! that it prints:
//!
//! ```sh
//! cargo run --example webhooks_standard
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example webhooks_standard
//! ```

use std::{env, net::SocketAddr, sync::Arc};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
    response::IntoResponse,
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use palisade::{
    ApiError, Clock, ErrorLayer, SystemClock,
    observe::RequestIds,
    stack,
    webhook::{InMemoryReplays, Replays, Standard, StandardSigner, Verified, Webhook},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// The receiver: runs for signed messages, once for each.
async fn receive(verified: Verified, body: Bytes) -> Json<Value> {
    let body = String::from_utf8_lossy(&body);
    Json(json!({ "id": verified.id(), "key": verified.key_id(), "body": body }))
}

/// The sender: returns the headers for this body, for curl. Your sender passes them to its HTTP client, uses one id for all
/// attempts, and signs each attempt again.
async fn sign(
    State(signer): State<Arc<StandardSigner>>,
    body: Bytes,
) -> Result<impl IntoResponse, ApiError> {
    let id = format!("msg_{}", Uuid::new_v4().simple());
    let headers = signer
        .sign(&id, SystemClock.unix(), &body)
        .map_err(|error| ApiError::internal().with_source(error))?;
    Ok(([(header::CONTENT_TYPE, "text/plain")], lines(&headers)))
}

fn lines(headers: &HeaderMap) -> String {
    let line = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        format!("{name}: {}\n", value.to_str().unwrap_or_default())
    };
    headers.iter().map(line).collect()
}

/// Keys in the text format of Standard Webhooks.
fn written(prefix: &str, bytes: &[u8]) -> String {
    format!("{prefix}_{}", BASE64.encode(bytes))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // New keys at each start: a shared secret, and a key pair whose public half the receiver has.
    let random = || [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    let secret = written("whsec", &random());
    let seed = random();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed)?;
    let (private, public) = (written("whsk", &seed), written("whpk", pair.public_key().as_ref()));

    let replays = || Ok::<_, palisade::ConfigError>(Replays::new(InMemoryReplays::new(100_000)?));
    let shared = Webhook::standard(secret.as_str()).key_id("shared").replays(replays()?).build()?;
    let asymmetric =
        Webhook::standard(public.as_str()).key_id("public").replays(replays()?).build()?;
    // A message can have signatures of both kinds; a receiver uses the one that it can verify.
    let signer = Standard::signer(secret.as_str())?.and_secret(private)?;

    let app = Router::new()
        .route("/webhooks/shared", post(receive).layer(shared))
        .route("/webhooks/asymmetric", post(receive).layer(asymmetric))
        .route("/sign", post(sign))
        .fallback(|| async { ApiError::not_found() })
        .with_state(Arc::new(signer))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3007".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, &secret, &public);
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, secret: &str, public: &str) {
    println!(
        r##"listening on http://{address}

shared secret: {secret}
public key:    {public}

The sender signs a message, with both keys; the headers are kept in a file
  curl -s http://{address}/sign -d '{{"type":"invoice.paid"}}' | tee signed.txt

Either receiver takes it, and says which key it was
  curl -i http://{address}/webhooks/shared -H @signed.txt -d '{{"type":"invoice.paid"}}'
  curl -i http://{address}/webhooks/asymmetric -H @signed.txt -d '{{"type":"invoice.paid"}}'

Once more: acknowledged, and not processed
  curl -i http://{address}/webhooks/shared -H @signed.txt -d '{{"type":"invoice.paid"}}'

Another body, and no signature
  curl -i http://{address}/webhooks/shared -H @signed.txt -d '{{"type":"invoice.void"}}'
  curl -i http://{address}/webhooks/shared -d '{{"type":"invoice.paid"}}'
"##
    );
}
