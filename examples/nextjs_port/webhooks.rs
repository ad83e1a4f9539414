//! Webhooks, verified over the raw body.

use axum::{Router, body::Bytes, routing::post};
use palisade::{
    ApiError, ConfigError, Envelope,
    webhook::{HmacScheme, InMemoryReplays, Replays, Verified, Webhook},
};
use serde::Deserialize;

use crate::config::Config;

#[derive(Deserialize)]
struct Event {
    r#type: String,
}

/// Runs for events that Stripe signed, once for each. `body` contains exactly the bytes of the signature.
async fn on_stripe(_: Verified, body: Bytes) -> Result<Envelope<String>, ApiError> {
    let event: Event = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid_json().with_source(error))?;
    Ok(Envelope::new(event.r#type))
}

async fn on_partner(_: Verified, body: Bytes) -> Envelope<usize> {
    Envelope::new(body.len())
}

/// `createHmac("sha256", secret)`, over the time, a dot and the body.
pub(crate) fn partner_scheme() -> HmacScheme {
    HmacScheme::new("partner", "x-partner-signature")
        .signs("{timestamp}.{body}")
        .timestamp_header("x-partner-timestamp")
}

pub(crate) fn routes(config: &Config) -> Result<Router, ConfigError> {
    let stripe = Webhook::stripe(config.stripe_secret.clone())
        .replays(Replays::new(InMemoryReplays::new(100_000)?))
        .build()?;
    let partner = Webhook::hmac(partner_scheme(), config.partner_secret.clone()).build()?;
    Ok(Router::new()
        .route("/api/webhooks/stripe", post(on_stripe).layer(stripe))
        .route("/api/webhooks/partner", post(on_partner).layer(partner)))
}
