//! An MCP server whose clients discover its authorization server (RFC 9728). Authorization is complete; of MCP's tools it has the
//! minimum that a client needs.
//!
//! ```sh
//! cargo run --example auth_mcp
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example auth_mcp
//! ```

use std::{env, net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use palisade::{
    Clock, ErrorLayer, SystemClock, WithAuth,
    auth::{Identity, Jwt, ProtectedResource, rules::scope, testing::sign_hs256},
    stack,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// For this example only: a real service uses the keys that its authorization server publishes (`auth_jwks`).
const SECRET: &str = "a signing key of at least thirty-two bytes";

/// A JSON-RPC message, in the Streamable HTTP transport without streams.
async fn mcp(identity: Identity<()>, Json(message): Json<Value>) -> Response {
    let Some(id) = message.get("id") else {
        // A notification gets no response.
        return StatusCode::ACCEPTED.into_response();
    };
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "auth_mcp", "version": "1.0.0"},
        }),
        Some("tools/list") => json!({
            "tools": [{"name": "whoami", "inputSchema": {"type": "object"}}],
        }),
        Some("tools/call") => json!({
            "content": [{"type": "text", "text": identity.principal().subject()}],
        }),
        _ => json!({}),
    };
    Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3014".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let address = listener.local_addr()?;

    // The URL that clients use. Tokens must be issued for it, and not for another service of the same server.
    let server = format!("http://{address}/mcp");
    let auth =
        Jwt::<()>::hs256(SECRET).issuer("https://login.example.com").audience(&server).build()?;
    let resource = ProtectedResource::builder(&server)
        .authorization_server("https://login.example.com")
        .scopes(["tools:call"])
        .challenge_scopes(["tools:call"])
        .member("resource_name", "The tools of the example")
        .build()?;

    let app = Router::new()
        .route("/mcp", post(mcp).with_rule(&auth, scope("tools:call")))
        // Around all routes: it serves the metadata, and completes the challenges of every route.
        .layer(stack().errors(ErrorLayer::new()).policy(resource));
    print_what_to_try(address, &server);
    axum::serve(listener, app).await?;
    Ok(())
}

fn token(server: &str, scope: &str) -> String {
    let exp = (SystemClock.unix() + Duration::from_secs(3600)).as_secs();
    let iss = "https://login.example.com";
    sign_hs256(
        SECRET,
        &json!({"sub": "ada", "iss": iss, "aud": server, "exp": exp, "scope": scope}),
    )
}

fn print_what_to_try(address: SocketAddr, server: &str) {
    let (token, other) = (token(server, "tools:call"), token(server, "profile"));
    println!(
        r#"listening on http://{address}

user token:  {token}
other token: {other}

Without a token: 401, with the address of the metadata and the scope to request
  curl -i {server} -d '{{}}' -H 'content-type: application/json'

The metadata, with the authorization server
  curl -i http://{address}/.well-known/oauth-protected-resource/mcp

A tool is called
  curl -i {server} -H 'authorization: Bearer {token}' -H 'content-type: application/json' \
    -d '{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"whoami"}}}}'

A token without the scope: 403, with the scope that is missing
  curl -i {server} -H 'authorization: Bearer {other}' -H 'content-type: application/json' -d '{{}}'
"#
    );
}
