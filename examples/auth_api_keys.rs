//! API keys that are created, used, rotated and revoked at run time. Run it, and paste the commands that it prints:
//!
//! ```sh
//! cargo run --example auth_api_keys
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example auth_api_keys
//! ```

use std::{env, net::SocketAddr, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{delete, get, post},
};
use palisade::{
    ApiError, Clock, ErrorLayer, Principal, SystemClock, WithAuth, any_of,
    auth::{ApiKey, ApiKeys, Identity, InMemoryApiKeys, Jwt, testing},
    observe::RequestIds,
    stack,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// The prefix of every key, so that scanners recognise a leaked key.
const PREFIX: &str = "acme";

/// The claims of employees' tokens. Programs use keys.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
}

async fn invoices(identity: Identity<ApiKey>) -> Json<Value> {
    let (key, owner) = (identity.claims(), identity.principal());
    Json(json!({ "invoices": [], "for": owner.subject(), "key": key.id() }))
}

async fn delete_invoice(Path(_id): Path<String>) -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Accepts either credential.
async fn whoami(Extension(principal): Extension<Principal>) -> String {
    format!("{}\n", principal.subject())
}

/// Creates another key for the same owner. Both keys are valid until the old one is revoked, so no client is interrupted.
async fn new_key(
    State(keys): State<InMemoryApiKeys>,
    identity: Identity<ApiKey>,
) -> Result<impl IntoResponse, ApiError> {
    let key = ApiKey::generate(PREFIX, identity.principal().clone())
        .map_err(|error| ApiError::unavailable().with_source(error))?;
    let in_90_days = SystemClock.unix() + Duration::from_secs(90 * 24 * 60 * 60);
    keys.insert(key.record().clone().expires_at(in_90_days));
    // The key is shown this once.
    let body = json!({ "id": key.record().id(), "key": key.plaintext() });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)))
}

async fn withdraw_key(
    State(keys): State<InMemoryApiKeys>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    keys.remove(&id).map(|_| StatusCode::NO_CONTENT).ok_or_else(ApiError::not_found)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // Your service stores the records in its database: see `ApiKeyStore`.
    let store = InMemoryApiKeys::new();
    let keys = ApiKeys::builder(PREFIX, store.clone()).build()?;

    // A new secret at each start: the token below is valid until this process ends.
    let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
    let tokens = Jwt::<Claims>::hs256(secret.as_str()).audience("invoices").build()?;
    let either = any_of(tokens, keys.clone());

    let app = Router::new()
        .route("/invoices", get(invoices).with_auth(&keys))
        .route("/invoices/{id}", delete(delete_invoice).with_role(&keys, ["admin"]))
        .route("/whoami", get(whoami).with_auth(&either))
        .route("/keys", post(new_key).with_role(&keys, ["admin"]))
        .route("/keys/{id}", delete(withdraw_key).with_role(&keys, ["admin"]))
        .fallback(|| async { ApiError::not_found() })
        .with_state(store.clone())
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));

    let key = |owner: &str, roles: &[&str]| {
        let key = ApiKey::generate(PREFIX, Principal::new(owner).with_roles(roles.to_vec()))?;
        store.insert(key.record().clone());
        Ok::<_, palisade::ConfigError>(key)
    };
    let (reader, admin) = (key("billing", &["service"])?, key("operations", &["admin"])?);
    let exp = (SystemClock.unix() + Duration::from_secs(3600)).as_secs();
    let claims = Claims { sub: "ada".to_owned(), aud: "invoices".to_owned(), exp };
    let token = testing::sign_hs256(secret.as_str(), &claims);

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3004".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let old = reader.record().id();
    print_what_to_try(listener.local_addr()?, reader.plaintext(), admin.plaintext(), old, &token);
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, reader: &str, admin: &str, old: &str, token: &str) {
    println!(
        r##"listening on http://{address}

reader key: {reader}
admin key:  {admin}
user token: {token}

A key: in its own header, in Authorization, wrong, and missing
  curl -i http://{address}/invoices -H 'X-Api-Key: {reader}'
  curl -i http://{address}/invoices -H 'Authorization: ApiKey {reader}'
  curl -i http://{address}/invoices -H 'X-Api-Key: {reader}x'
  curl -i http://{address}/invoices

Two keys are one too many
  curl -i http://{address}/invoices -H 'X-Api-Key: {reader}' -H 'Authorization: ApiKey {admin}'

Roles: the admin's key, and the reader's
  curl -i -X DELETE http://{address}/invoices/7 -H 'X-Api-Key: {admin}'
  curl -i -X DELETE http://{address}/invoices/7 -H 'X-Api-Key: {reader}'

A key or a token: either, and neither, with a challenge of each
  curl -i http://{address}/whoami -H 'X-Api-Key: {reader}'
  curl -i http://{address}/whoami -H 'Authorization: Bearer {token}'
  curl -i http://{address}/whoami

Rotation: a second key beside the first, shown once; then the reader's is withdrawn, and refused
  curl -i -X POST http://{address}/keys -H 'X-Api-Key: {admin}'
  curl -i -X DELETE http://{address}/keys/{old} -H 'X-Api-Key: {admin}'
  curl -i http://{address}/invoices -H 'X-Api-Key: {reader}'
"##
    );
}
