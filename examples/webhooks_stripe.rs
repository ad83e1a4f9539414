//! An endpoint for Stripe's webhooks. Run it, and paste the script that it prints: it signs with openssl, as Stripe does.
//!
//! ```sh
//! cargo run --example webhooks_stripe
//! STRIPE_WEBHOOK_SECRET=whsec_… cargo run --example webhooks_stripe   # with `stripe listen`, or your endpoint's
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example webhooks_stripe
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --example webhooks_stripe   # with any number of others that do
//! ```

use std::{env, net::SocketAddr};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    routing::{get, post},
};
use palisade::{
    ApiError, ErrorLayer,
    observe::RequestIds,
    redis::Redis,
    stack,
    webhook::{InMemoryReplays, RedisReplays, Replays, Verified, Webhook},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::net::TcpListener;
use uuid::Uuid;

/// The fields that this example needs; Stripe sends many more.
#[derive(Deserialize)]
struct Event {
    r#type: String,
}

/// The number of processed events. Retries do not count.
type Processed = Arc<AtomicU64>;

/// Runs for events that Stripe signed, once for each. `Verified` exists only after verification.
async fn on_event(
    State(processed): State<Processed>,
    verified: Verified,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    // Parsed after the verification, from exactly the verified bytes.
    let event: Event = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid_json().with_source(error))?;
    if event.r#type == "invoice.payment_failed" {
        // After any other status than 2xx Stripe retries, and the event is processed then.
        return Err(ApiError::unavailable());
    }
    let count = processed.fetch_add(1, Ordering::SeqCst) + 1;
    Ok(Json(json!({
        "processed": count,
        "event": verified.id(),
        "type": event.r#type,
        "secret": verified.key_id(),
    })))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let made_up = || format!("whsec_{}", Uuid::new_v4().simple());
    let secret = env::var("STRIPE_WEBHOOK_SECRET").unwrap_or_else(|_| made_up());
    // The previous secret, with which Stripe also signs for a day after a rotation.
    let old_secret = made_up();
    // In memory for one machine, in Redis for several.
    let replays = match env::var("REDIS_URL") {
        Ok(url) => Replays::new(RedisReplays::new(Redis::builder(url).build()?)),
        Err(_) => Replays::new(InMemoryReplays::new(100_000)?),
    };
    let webhook = Webhook::stripe(secret.as_str())
        .key_id("current")
        .and_secret("old", old_secret.as_str())
        .replays(replays)
        .build()?;

    let app = Router::new()
        .route("/webhooks/stripe", post(on_event).layer(webhook))
        .route("/health", get(|| async { "ok\n" }))
        .fallback(|| async { ApiError::not_found() })
        .with_state(Processed::default())
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3006".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, &secret, &old_secret);
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, secret: &str, old_secret: &str) {
    println!(
        r##"listening on http://{address}

signing secret: {secret}
old secret:     {old_secret}

Paste this first: it sends an event as Stripe does, `send SECRET EVENT [SECONDS]`
  send() {{
    t=$(( $(date +%s) + ${{3:-0}} ))
    v1=$(printf '%s.%s' "$t" "$2" | openssl dgst -sha256 -hmac "$1" | sed 's/^.*= //')
    curl -i http://{address}/webhooks/stripe -H 'Content-Type: application/json' -H "Stripe-Signature: t=$t,v1=$v1" -d "$2"
  }}

An event, and the same one again, which is acknowledged and not processed
  send {secret} '{{"id":"evt_1","type":"invoice.paid"}}'
  send {secret} '{{"id":"evt_1","type":"invoice.paid"}}'

Signed with the old secret, with another, and not at all
  send {old_secret} '{{"id":"evt_2","type":"invoice.paid"}}'
  send whsec_00000000000000000000000000000000 '{{"id":"evt_3","type":"invoice.paid"}}'
  curl -i http://{address}/webhooks/stripe -d '{{"id":"evt_3","type":"invoice.paid"}}'

Ten minutes old, and ten minutes in the future
  send {secret} '{{"id":"evt_4","type":"invoice.paid"}}' -600
  send {secret} '{{"id":"evt_4","type":"invoice.paid"}}' 600

One that the handler cannot process now: 503, and processed anew each time it comes
  send {secret} '{{"id":"evt_5","type":"invoice.payment_failed"}}'
"##
    );
}
