//! Opaque tokens that the issuer introspects (RFC 7662). The example also starts an issuer:
//!
//! ```sh
//! cargo run --example auth_introspection
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example auth_introspection
//! ```

use std::{env, net::SocketAddr};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use palisade::{
    ErrorLayer, WithAuth,
    auth::{Identity, Introspection, rules::scope, testing::OpaqueIssuer},
    observe::RequestIds,
    stack,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    username: String,
}

async fn profile(identity: Identity<Claims>) -> Json<Value> {
    Json(json!(identity.claims()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let (issuer, issuer_url) = start_issuer().await?;

    // Use https for a real issuer.
    let auth = Introspection::<Claims>::endpoint(format!("{issuer_url}/introspect"))
        .client_secret_basic("profiles-api", "secret of the profiles API")
        .audience("profiles")
        .insecure_allow_loopback_http()
        .build()?;

    let app = Router::new()
        .route("/profile", get(profile).with_auth(&auth))
        .route("/reports", post(|| async { "written\n" }).with_rule(&auth, scope("reports:write")))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));
    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3011".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, &issuer_url, &issue(&issuer));
    axum::serve(listener, app).await?;
    Ok(())
}

// ---- A test issuer behind a server. -------------------------------------------------------------------------------

async fn start_issuer() -> Result<(OpaqueIssuer, String), Box<dyn std::error::Error>> {
    let issuer = OpaqueIssuer::new("profiles-api", "secret of the profiles API");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let app = Router::new()
        .route("/introspect", post(introspect))
        .route("/revoke", post(revoke))
        .with_state(issuer.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((issuer, url))
}

fn issue(issuer: &OpaqueIssuer) -> String {
    issuer.issue(json!({
        "sub": "1815", "username": "ada", "aud": "profiles", "scope": "profile reports:read",
    }))
}

async fn introspect(State(issuer): State<OpaqueIssuer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match axum::body::to_bytes(body, 64 * 1024).await {
        Ok(form) => {
            let answer = issuer.answer(&http::Request::from_parts(head, form));
            answer.map(axum::body::Body::from).into_response()
        }
        Err(error) => (http::StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn revoke(State(issuer): State<OpaqueIssuer>, token: Bytes) -> &'static str {
    issuer.revoke(&String::from_utf8_lossy(&token));
    "revoked; the service accepts it for up to 30 seconds more\n"
}

fn print_what_to_try(address: SocketAddr, issuer: &str, token: &str) {
    println!(
        r#"listening on http://{address}

issuer:     {issuer}
user token: {token}

A token that the issuer calls active
  curl -i http://{address}/profile -H 'Authorization: Bearer {token}'

The same token without the scope that is needed
  curl -i -X POST http://{address}/reports -H 'Authorization: Bearer {token}'

No token, and one that the issuer does not know
  curl -i http://{address}/profile
  curl -i http://{address}/profile -H 'Authorization: Bearer made-up'

A revoked token is refused when the stored answer is 30 seconds old
  curl -X POST {issuer}/revoke -d '{token}'
"#
    );
}
