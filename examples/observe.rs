//! Observation: an access log, metrics for Prometheus, a page with the last requests, and explained rejections. Run it, and paste the commands that it prints:
//!
//! ```sh
//! cargo run --example observe                       # a log to read
//! PALISADE_LOG=json cargo run --example observe     # a log for machines
//! ```

use std::{convert::Infallible, env, net::SocketAddr, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::{
    Json, Router,
    extract::Path,
    response::{Sse, sse::Event},
    routing::{delete, get},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use metrics_exporter_prometheus::PrometheusBuilder;
use palisade::{
    ApiError, Clock, ErrorLayer, SystemClock, WithAuth,
    auth::{
        Identity, Introspection, Jwks, Jwt, Keys,
        rules::{Rule, role},
    },
    body::BodyLimit,
    observe::{AccessLog, Explain, Observe, Readings, RequestSpan},
    rate_limit::{ByAddress, ConcurrencyLimit, Quota, RateLimit, SharedStore},
    rate_limit_redis::RedisStore,
    recorder::Recorder,
    redis::Redis,
    shadow, stack,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

/// The claims of a token.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
    roles: Vec<String>,
}

async fn item(Path(id): Path<String>) -> Json<Value> {
    // This line is inside the request's span, so it contains the request's id.
    tracing::info!(target: "example", "looking for an item");
    Json(json!({ "id": id }))
}

async fn remove(Path(_id): Path<String>, _: Identity<Claims>) -> Result<(), ApiError> {
    Err(ApiError::not_found().with_code("ITEM_NOT_FOUND"))
}

async fn replace(body: String) -> String {
    format!("{} bytes\n", body.len())
}

/// Fifty events, 100 ms apart. If the client disconnects early, the log shows `aborted`.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let numbers = tokio_stream::iter(1..=50).throttle(Duration::from_millis(100));
    Sse::new(numbers.map(|number| Ok(Event::default().data(format!("tick {number}")))))
}

async fn boom() {
    panic!("a handler panicked, and the log says so");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Readable text in development, one line of JSON for each event in production.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match env::var("PALISADE_LOG").as_deref() {
        Ok("json") => log.json().flatten_event(true).init(),
        _ => log.pretty().init(),
    }
    let prometheus = PrometheusBuilder::new().install_recorder()?;

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let address = listener.local_addr()?;

    // New secrets at each start. The service is its own issuer, so that the metrics include published keys.
    let (secret, why) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let issuer = Ed25519KeyPair::generate()?;
    let jwks =
        Jwks::url(format!("http://{address}/keys")).insecure_allow_loopback_http().build()?;
    let auth = Jwt::<Claims>::with_keys(Keys::published(&jwks)).audience("observe").build()?;
    // Opaque tokens of partners, introspected at their issuer.
    let partners = Introspection::<Value>::endpoint(format!("http://{address}/introspect"))
        .client_secret_basic("observe", secret.as_str())
        .audience("observe")
        .insecure_allow_loopback_http()
        .build()?;

    let limit = RateLimit::per_address(Quota::per(1000, Duration::from_secs(10))).build()?;
    // Shared with other machines. During an outage of Redis all requests are allowed, and the metrics show the outage.
    let redis = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let redis = Redis::builder(&redis).build()?;
    let reports = RateLimit::per_address(Quota::per(10, Duration::from_secs(60)))
        .name("reports")
        .store(SharedStore::new(RedisStore::new(redis)).fail_open())
        .build()?;

    // The number of open streams for each client.
    let streams = ConcurrencyLimit::per_key(ByAddress::default(), 10).build()?;

    let recorder = Recorder::new();
    let observe = Observe::new()
        .access_log(AccessLog::new().query_parameters(["page"]).hash_principals(secret.as_str())?)
        .metrics()
        .explain(Explain::for_requests_with("x-explain", why.as_str())?)
        .report_to(recorder.reporter());
    // The components' own counters, read when Prometheus scrapes.
    let readings = Readings::new()
        .part("default", limit.clone())
        .part("reports", reports.clone())
        .part("streams", streams.clone())
        .part("observe", jwks)
        .part("observe", auth.clone())
        .part("observe", partners.clone());

    let app = Router::new()
        .route("/items/{id}", get(item).put(replace))
        .route("/admin/items/{id}", delete(remove).with_role(&auth, ["admin"]))
        .route(
            "/profile",
            get(|who: Identity<Claims>| async move { who.claims().sub.clone() }).with_auth(&auth),
        )
        .route("/partners", get(async || "a partner").with_auth(&partners))
        .route("/reports", get(async || "a report").layer(reports.layer()))
        .route("/events", get(events).layer(streams.layer()))
        .route("/boom", get(boom))
        .fallback(|| async { ApiError::not_found() })
        .layer(
            stack()
                .observe(observe)
                .layer(RequestSpan)
                .errors(ErrorLayer::new())
                .rate_limit(&limit)
                // A rule on trial: it never rejects, and its decisions are in the log, the metrics and on the page.
                .policy(shadow(role("admin").authorize()))
                .body_limit(BodyLimit::new(1024)),
        )
        // For operators, and not observed. In production use a separate address.
        .route(
            "/metrics",
            get(move || async move {
                readings.read();
                prometheus.render()
            }),
        )
        .route_service("/debug/requests", recorder.page())
        .route("/keys", get(Json(published(&issuer))));

    let user = token(&issuer, "ada", &["user"]);
    let admin = token(&issuer, "grace", &["user", "admin"]);
    print_what_to_try(address, &user, &admin, &why);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

fn published(issuer: &Ed25519KeyPair) -> Value {
    let x = URL_SAFE_NO_PAD.encode(issuer.public_key().as_ref());
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "1", "x": x }] })
}

fn token(issuer: &Ed25519KeyPair, name: &str, roles: &[&str]) -> String {
    let exp = (SystemClock.unix() + Duration::from_secs(3600)).as_secs();
    let roles = roles.iter().map(ToString::to_string).collect();
    let claims = Claims { sub: name.to_owned(), aud: "observe".to_owned(), exp, roles };
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = part(json!({ "alg": "EdDSA", "typ": "JWT", "kid": "1" }));
    let message = format!("{header}.{}", part(json!(claims)));
    let signature = issuer.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn print_what_to_try(address: SocketAddr, user: &str, admin: &str, why: &str) {
    println!(
        r##"listening on http://{address}

user token:  {user}
admin token: {admin}
explain secret: {why}

A request, and its line in the log: the query is not there, but for `page`
  curl -i 'http://{address}/items/7?token=s3cret&page=2' -H 'X-Request-Id: req-42'
  curl -i http://{address}/items/7 -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

Why was I refused?
  curl -i -X DELETE http://{address}/admin/items/7 -H 'Authorization: Bearer {user}' -H 'X-Explain: {why}'
  curl -i -X DELETE http://{address}/admin/items/7 -H 'Authorization: Bearer {admin}' -H 'X-Explain: {why}'

A body over the limit, which nobody knew before it was read
  head -c 2000 /dev/zero | curl -i -T - http://{address}/items/7

A panic, and a client that leaves amid the response
  curl -i http://{address}/boom
  curl -N --max-time 1 http://{address}/events

The last requests, as a page and as JSON
  open http://{address}/debug/requests
  curl http://{address}/debug/requests?format=json

What a limit does without its Redis, and a token that comes again: see the metrics
  curl -i http://{address}/reports
  curl -i http://{address}/profile -H 'Authorization: Bearer {user}'

Metrics
  curl http://{address}/metrics
"##
    );
}
