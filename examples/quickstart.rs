//! An axum service behind every policy. Run it, and paste the commands that it prints:
//!
//! ```sh
//! cargo run -p palisade-quickstart --example quickstart
//! PALISADE_ADDR=127.0.0.1:8080 cargo run -p palisade-quickstart --example quickstart
//! ```

use std::{convert::Infallible, env, net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query},
    http::{Method, StatusCode},
    response::{Sse, sse::Event},
    routing::{delete, get, post},
};
use garde::Validate;
use palisade::{
    ApiError, Clock, ErrorLayer, SystemClock, WithAuth,
    auth::{Identity, Jwt, testing},
    body::BodyLimit,
    cors::Cors,
    observe::{Explain, Observe},
    rate_limit::{Quota, RateLimit},
    stack,
    validate::Valid,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use uuid::Uuid;

/// The claims of a token. A handler that takes `Identity<Claims>` runs only after authentication.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
    roles: Vec<String>,
}

/// The body of `POST /items`.
#[derive(Serialize, Deserialize, Validate)]
struct Item {
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
    #[garde(email)]
    email: String,
    #[garde(pattern("^#[0-9A-Fa-f]{6}$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<String>,
}

/// The query of `GET /search`.
#[derive(Serialize, Deserialize, Validate)]
#[serde(default)]
struct Search {
    #[garde(skip)]
    q: String,
    #[garde(range(min = 1))]
    page: u32,
    #[garde(range(min = 1, max = 100))]
    limit: u32,
}

impl Default for Search {
    fn default() -> Self {
        Self { q: String::new(), page: 1, limit: 20 }
    }
}

async fn profile(identity: Identity<Claims>) -> Json<serde_json::Value> {
    Json(serde_json::json!(identity.claims()))
}

async fn create_item(Valid(Json(item)): Valid<Json<Item>>) -> (StatusCode, Json<Item>) {
    (StatusCode::CREATED, Json(item))
}

async fn delete_item(Path(_id): Path<String>) -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn search(Valid(Query(search)): Valid<Query<Search>>) -> Json<Search> {
    Json(search)
}

/// Five events, 200 ms apart. Each is sent at once: no policy buffers a response.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let numbers = tokio_stream::iter(1..=5).throttle(Duration::from_millis(200));
    Sse::new(numbers.map(|number| Ok(Event::default().data(format!("tick {number}")))))
}

async fn boom() -> StatusCode {
    panic!("a handler panicked, and the server goes on")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // A new secret at each start: the tokens below are valid until this process ends.
    let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
    let auth = Jwt::<Claims>::hs256(secret.as_str()).audience("quickstart").build()?;
    let cors = Cors::builder()
        .allow_origin("https://app.example.com")
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(["authorization", "content-type"])
        .allow_credentials(true)
        .max_age(Duration::from_secs(600))
        .build()?;
    let everything = RateLimit::per_address(Quota::per(100, Duration::from_secs(10))).build()?;
    // An exact log: ten items in any ten seconds, also across the end of a window.
    let ten_items = Quota::per(10, Duration::from_secs(10)).exact_log();
    let new_items = RateLimit::per_address(ten_items).name("items").build()?;
    // Logs each request. Explains what each policy decided, to requests with this secret.
    let why = Uuid::new_v4().to_string();
    let observe = Observe::new().explain(Explain::for_requests_with("x-explain", why.as_str())?);

    let app = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/profile", get(profile).with_auth(&auth))
        .route("/items", post(create_item).layer(new_items.layer()))
        .route("/items/{id}", delete(delete_item).with_role(&auth, ["admin"]))
        .route("/search", get(search))
        .route("/events", get(events))
        .route("/boom", get(boom))
        .fallback(|| async { ApiError::not_found() })
        .layer(
            stack()
                .observe(observe)
                .errors(ErrorLayer::new())
                .cors(&cors)
                .rate_limit(&everything)
                .body_limit(BodyLimit::new(1024 * 1024)),
        );

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, &why, |name, roles| {
        let exp = (SystemClock.unix() + Duration::from_secs(3600)).as_secs();
        let roles = roles.iter().map(ToString::to_string).collect();
        let aud = "quickstart".to_owned();
        testing::sign_hs256(secret.as_str(), &Claims { sub: name.to_owned(), aud, exp, roles })
    });
    // Gives the policies the address of the peer.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, why: &str, token: impl Fn(&str, &[&str]) -> String) {
    let (user, admin) = (token("ada", &["user"]), token("grace", &["user", "admin"]));
    println!(
        r##"listening on http://{address}

user token:  {user}
admin token: {admin}

Authentication: with a token (200), and without (401)
  curl -i http://{address}/profile -H 'Authorization: Bearer {user}'
  curl -i http://{address}/profile

Roles: as an admin (204), and as a user (403)
  curl -i -X DELETE http://{address}/items/7 -H 'Authorization: Bearer {admin}'
  curl -i -X DELETE http://{address}/items/7 -H 'Authorization: Bearer {user}'

Why was I refused? The header x-palisade-explain, and this terminal, which logs each request: a role is missing (403), a token is not valid (401)
  curl -i -X DELETE http://{address}/items/7 -H 'Authorization: Bearer {user}' -H 'X-Explain: {why}'
  curl -i http://{address}/profile -H 'Authorization: Bearer {user}x' -H 'X-Explain: {why}'

Validation: a good item (201), one with three mistakes (400), a good query (200), and a bad one (400)
  curl -i http://{address}/items -H 'Content-Type: application/json' -d '{{"name":"lamp","email":"ada@example.com","color":"#00FF00"}}'
  curl -i http://{address}/items -H 'Content-Type: application/json' -d '{{"name":"","email":"nobody","color":"green"}}'
  curl -i 'http://{address}/search?q=lamp&page=2'
  curl -i 'http://{address}/search?q=lamp&limit=1000'

CORS: a preflight from the allowed origin (204), and from another (403)
  curl -i -X OPTIONS http://{address}/items -H 'Origin: https://app.example.com' -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: content-type'
  curl -i -X OPTIONS http://{address}/items -H 'Origin: https://evil.example' -H 'Access-Control-Request-Method: POST'

Body limit: 1 MiB passes the limit and is no JSON (400), one byte more does not pass (413)
  head -c 1048576 /dev/zero | curl -i http://{address}/items -H 'Content-Type: application/json' --data-binary @-
  head -c 1048577 /dev/zero | curl -i http://{address}/items -H 'Content-Type: application/json' --data-binary @-

Rate limit: 10 items in 10 seconds. After a pause of 10 seconds, 10 are created (201), and 2 are rejected (429)
  sleep 10; for i in $(seq 12); do curl -s -o /dev/null -w '%{{http_code}} ' http://{address}/items -H 'Content-Type: application/json' -d '{{"name":"lamp","email":"ada@example.com"}}'; done; echo

Streaming: five events (200), and a panic (500)
  curl -iN http://{address}/events
  curl -i http://{address}/boom
"##
    );
}
