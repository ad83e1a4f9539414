//! Each line of the log that the guide's page on troubleshooting quotes is there when its symptom is provoked.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, Method},
    middleware::{Next, from_fn},
    response::Response,
    routing::{delete, get, post},
};
use palisade::{
    Clock, ErrorLayer, PeerAddr, SystemClock, TrustedProxies, WithAuth,
    auth::{Identity, Jwt, testing::sign_hs256},
    body::{BodyLimit, ByteSize, Deadline},
    cors::Cors,
    observe::Observe,
    rate_limit::{Quota, RateLimit},
    stack,
    webhook::{Stripe, Verified, Webhook},
};
use serde_json::{Value, json};
use tower::ServiceExt;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

const PAGE: &str = include_str!("../docs/guide/troubleshooting.md");
const SECRET: &str = "a signing key of at least thirty-two bytes";
const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn quoted_log_lines_appear_with_their_symptoms() -> Result {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time();
    let subscriber = subscriber.with_max_level(LevelFilter::DEBUG).with_writer(log.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    server_errors().await?;
    client_addresses().await?;
    rejected_tokens().await?;
    rejected_callers().await?;
    rejected_pages().await?;
    bodies().await?;
    webhooks().await?;
    drop(guard);

    let logged = String::from_utf8(log.0.lock().unwrap().clone())?;
    let logged: Vec<_> = logged.lines().map(without_numbers).collect();
    let mut quoted = 0;
    for line in quoted_lines() {
        let fragments: Vec<_> = line.split('…').map(|text| without_numbers(text.trim())).collect();
        let is_logged = |seen: &String| fragments.iter().all(|fragment| seen.contains(fragment));
        assert!(logged.iter().any(is_logged), "not logged: {line}\n{}", logged.join("\n"));
        quoted += 1;
    }
    assert!(quoted > 20, "{quoted}");
    Ok(())
}

#[test]
fn quoted_configuration_errors_are_the_real_ones() {
    for error in [
        Jwt::<Value>::hs256("short").audience("orders").build().err(),
        Jwt::<Value>::hs256(SECRET).build().err(),
    ] {
        let error = error.map(|error| error.to_string()).unwrap();
        assert!(PAGE.contains(&error), "{error}");
    }
}

/// The lines of blocks that begin with a level.
fn quoted_lines() -> impl Iterator<Item = &'static str> {
    let blocks = PAGE.split("```text\n").skip(1).filter_map(|text| text.split("```").next());
    let levels = ["DEBUG ", "INFO ", "WARN ", "ERROR "];
    blocks
        .flat_map(str::lines)
        .filter(move |line| levels.iter().any(|level| line.starts_with(level)))
}

/// Replaces words with digits in them: ids, durations, sizes.
fn without_numbers(line: &str) -> String {
    let mut words = String::new();
    for word in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        if word.contains(|c: char| c.is_ascii_digit()) {
            words.push('#');
            words.extend(word.chars().next_back().filter(|c| !c.is_ascii_alphanumeric()));
        } else {
            words.push_str(word);
        }
    }
    words
}

async fn send(app: Router, mut request: Request) -> Result {
    request.extensions_mut().insert(PeerAddr("10.0.0.2:50000".parse()?));
    // the request is logged when its response has ended
    to_bytes(app.oneshot(request).await?.into_body(), 1024 * 1024).await?;
    Ok(())
}

fn at_root(fields: &[(&'static str, &str)]) -> Result<Request> {
    let mut request = Request::get("/").body(Body::empty())?;
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse()?);
    }
    Ok(request)
}

fn bearer(claims: &Value) -> String {
    format!("Bearer {}", sign_hs256(SECRET, claims))
}

fn ada() -> Value {
    json!({ "sub": "ada", "aud": "orders", "exp": 4_102_444_800_u64 })
}

fn jwt() -> Result<Jwt<Value>> {
    Ok(Jwt::hs256(SECRET).audience("orders").build()?)
}

fn limit() -> Result<RateLimit> {
    Ok(RateLimit::per_address(Quota::per(2, Duration::from_secs(60))).build()?)
}

fn service() -> Router {
    Router::new().route(
        "/",
        get(|| async { "ok" }).post(|body: Bytes| async move { body.len().to_string() }),
    )
}

fn errors() -> ErrorLayer {
    ErrorLayer::new().framework_errors()
}

async fn server_errors() -> Result {
    let app = service().layer(stack().errors(errors()).rate_limit(&limit()?));
    app.oneshot(at_root(&[])?).await?; // without an address

    let unguarded = Router::new().route("/", get(|_: Identity<Value>| async {}));
    send(unguarded.layer(stack().errors(errors())), at_root(&[])?).await?;

    let users = RateLimit::per_principal(Quota::per(2, Duration::from_secs(60))).build()?;
    let outside = get(|| async {}).with_auth(&jwt()?).layer(users.layer());
    let app = Router::new().route("/", outside).layer(stack().errors(errors()));
    send(app, at_root(&[("authorization", &bearer(&ada()))])?).await?;

    let unguarded = Router::new().route("/", get(|_: Verified| async {}));
    send(unguarded.layer(stack().errors(errors())), at_root(&[])?).await?;

    let panics = get(|| async {
        if true {
            panic!("no such item: 7")
        }
    });
    send(Router::new().route("/", panics).layer(stack().errors(errors())), at_root(&[])?).await
}

async fn client_addresses() -> Result {
    let forwarded = || at_root(&[("x-forwarded-for", "192.0.2.1")]);
    send(service().layer(stack().rate_limit(&limit()?)), forwarded()?).await?;
    let others = TrustedProxies::networks(["192.168.0.0/16"]).build()?;
    send(service().layer(stack().client_ip(&others)), forwarded()?).await?;
    let ours = TrustedProxies::networks(["10.0.0.0/8"]).forwarded().build()?;
    send(service().layer(stack().client_ip(&ours)), forwarded()?).await
}

async fn rejected_tokens() -> Result {
    let app = Router::new().route("/", get(|| async {}).with_auth(&jwt()?));
    let mut claims = ada();
    claims["aud"] = json!("other");
    send(app.clone(), at_root(&[("authorization", &bearer(&claims))])?).await?;
    let token = bearer(&ada());
    send(app, at_root(&[("authorization", &token), ("authorization", &token)])?).await
}

async fn rejected_callers() -> Result {
    let cors = Cors::allow_origins(["https://app.example.com"]).build()?;
    let layers = stack().observe(Observe::new()).errors(errors()).cors(&cors);
    let route = delete(|| async {}).with_role(&jwt()?, ["admin"]);
    let app = Router::new().route("/items/{id}", route).layer(layers.rate_limit(&limit()?));
    let request = Request::delete("/items/7").header("authorization", bearer(&ada()));
    send(app, request.body(Body::empty())?).await?;

    send(service().layer(stack().errors(errors()).deny_undecided()), at_root(&[])?).await?;

    let cookie =
        Jwt::<Value>::hs256(SECRET).audience("orders").token_in_cookie("session").build()?;
    let app = Router::new().route("/", post(|| async {}).with_auth(&cookie));
    let cookie = format!("session={}", sign_hs256(SECRET, &ada()));
    send(app, Request::post("/").header("cookie", cookie).body(Body::empty())?).await
}

async fn rejected_pages() -> Result {
    let cors = Cors::allow_origins(["https://app.example.com"]).build()?;
    let preflight = |origin, method, headers: Option<&str>| -> Result<Request> {
        let mut request =
            at_root(&[("origin", origin), ("access-control-request-method", method)])?;
        *request.method_mut() = Method::OPTIONS;
        if let Some(headers) = headers {
            request.headers_mut().insert("access-control-request-headers", headers.parse()?);
        }
        Ok(request)
    };
    let app = service().layer(stack().cors(&cors));
    send(app.clone(), preflight("https://other.example.com", "POST", None)?).await?;
    send(app, preflight("https://app.example.com", "GET", Some("authorization"))?).await?;
    let app = Router::new().route("/", get(|| async {}).with_auth(&jwt()?));
    send(app.layer(stack().cors(&cors)), at_root(&[("origin", "https://app.example.com")])?).await
}

async fn bodies() -> Result {
    async fn drops_the_body(request: Request, next: Next) -> Response {
        let (head, body) = request.into_parts();
        let _ = to_bytes(body, 1024).await;
        next.run(Request::from_parts(head, Body::empty())).await
    }
    let layers = stack().observe(Observe::new()).errors(errors()).body_limit(BodyLimit::new(1024));
    let app = service().layer(from_fn(drops_the_body)).layer(layers);
    send(app, Request::post("/").header("content-length", 5).body(Body::from("hello"))?).await?;

    let app = service().layer(stack().errors(errors()).body_limit(BodyLimit::new(ByteSize::mb(9))));
    send(app, Request::post("/").body(Body::from(vec![0; 3_000_000]))?).await?;

    let app = Router::new().route("/", get(std::future::pending::<()>));
    let deadline = Deadline::new(Duration::from_millis(1));
    send(app.layer(stack().errors(errors()).timeout(deadline)), at_root(&[])?).await
}

async fn webhooks() -> Result {
    const EVENT: &str = r#"{"id":"evt_1"}"#;
    let webhook = Webhook::stripe(WEBHOOK_SECRET).build()?;
    let app = Router::new().route("/", post(|_: Verified| async {}).layer(webhook));
    let now = SystemClock.unix();
    for headers in [
        Stripe::sign("whsec_another0123456789abcdef01234567", now, EVENT.as_bytes())?,
        Stripe::sign(WEBHOOK_SECRET, now - Duration::from_secs(3600), EVENT.as_bytes())?,
        HeaderMap::new(),
    ] {
        let mut request = Request::post("/").body(Body::from(EVENT))?;
        request.headers_mut().extend(headers);
        send(app.clone(), request).await?;
    }
    Ok(())
}
