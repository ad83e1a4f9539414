//! Routes for operators, which inspect, reset, block and unblock a client. An API key protects them; serve them on a separate port,
//! or behind the authentication of your operators.
//!
//! ```sh
//! cargo run --example rate_limit_admin
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example rate_limit_admin
//! ```

use std::{
    env,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use palisade::{
    ApiError, ErrorLayer, Principal, WithAuth,
    auth::{ApiKey, ApiKeys, InMemoryApiKeys},
    observe::RequestIds,
    rate_limit::{Ban, ByAddress, Quota, RateLimit, RateLimitStatus},
    stack,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

const MINUTE: Duration = Duration::from_secs(60);

/// The principal of an operator has this role.
const OPERATOR: &str = "operator";

#[derive(Serialize)]
struct Left {
    quota: String,
    limit: u32,
    remaining: u32,
}

fn left(status: &RateLimitStatus) -> Json<Vec<Left>> {
    let quotas = status.quotas().map(|quota| Left {
        quota: quota.name().to_owned(),
        limit: quota.limit(),
        remaining: quota.remaining(),
    });
    Json(quotas.collect())
}

/// The key by which the limit counts this client.
fn key(client: IpAddr) -> u128 {
    ByAddress::default().key_of(client)
}

async fn peek(
    State(limit): State<RateLimit>,
    Path(client): Path<IpAddr>,
) -> Result<Json<Vec<Left>>, ApiError> {
    Ok(left(&limit.peek(key(client)).await?))
}

async fn reset(
    State(limit): State<RateLimit>,
    Path(client): Path<IpAddr>,
) -> Result<StatusCode, ApiError> {
    limit.reset(key(client)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Block {
    seconds: u64,
}

async fn block(
    State(limit): State<RateLimit>,
    Path(client): Path<IpAddr>,
    Json(block): Json<Block>,
) -> Result<StatusCode, ApiError> {
    limit.block(key(client), Duration::from_secs(block.seconds)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unblock(
    State(limit): State<RateLimit>,
    Path(client): Path<IpAddr>,
) -> Result<StatusCode, ApiError> {
    limit.unblock(key(client)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct NewQuota {
    limit: u32,
}

/// Replaces the quota at run time. Counts are kept.
async fn replace(
    State(limit): State<RateLimit>,
    Json(quota): Json<NewQuota>,
) -> Result<StatusCode, ApiError> {
    let quota = Quota::per(quota.limit, MINUTE).named("per-client");
    limit.handle().replace(quota).map_err(|error| ApiError::bad_request().with_source(error))?;
    Ok(StatusCode::NO_CONTENT)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // Clients with more than 20 rejections in a minute are blocked for a minute, then for two, four … up to an hour.
    let ban = Ban::after(20, MINUTE).growing_to(60 * MINUTE);
    let limit =
        RateLimit::per_address(Quota::per(5, MINUTE).named("per-client")).ban(ban).build()?;

    // A new key at each start. Use keys from a database, or tokens, in your service.
    let store = InMemoryApiKeys::new();
    let keys = ApiKeys::builder("acme", store.clone()).build()?;
    let operator = ApiKey::generate("acme", Principal::new("operations").with_roles([OPERATOR]))?;
    store.insert(operator.record().clone());

    let admin = Router::new()
        .route("/limits/{client}", get(peek).with_role(&keys, [OPERATOR]))
        .route("/limits/{client}/reset", post(reset).with_role(&keys, [OPERATOR]))
        .route("/limits/{client}/block", post(block).delete(unblock).with_role(&keys, [OPERATOR]))
        .route("/quota", post(replace).with_role(&keys, [OPERATOR]))
        .with_state(limit.clone());
    let app = Router::new()
        .route("/", get(async |status: RateLimitStatus| left(&status)).layer(limit.layer()))
        .nest("/admin", admin)
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3015".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, operator.plaintext());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, key: &str) {
    println!(
        r#"listening on http://{address}

operator key: {key}

Five requests a minute, and the handler says what is left
  for i in $(seq 6); do curl -i http://{address}/; done

An operator looks, resets, blocks, unblocks, and replaces the quota
  curl -i http://{address}/admin/limits/127.0.0.1 -H 'X-Api-Key: {key}'
  curl -i -X POST http://{address}/admin/limits/127.0.0.1/reset -H 'X-Api-Key: {key}'
  curl -i http://{address}/admin/limits/127.0.0.1/block -H 'X-Api-Key: {key}' -H 'Content-Type: application/json' -d '{{"seconds":60}}'
  curl -i -X DELETE http://{address}/admin/limits/127.0.0.1/block -H 'X-Api-Key: {key}'
  curl -i http://{address}/admin/quota -H 'X-Api-Key: {key}' -H 'Content-Type: application/json' -d '{{"limit":50}}'
"#
    );
}
