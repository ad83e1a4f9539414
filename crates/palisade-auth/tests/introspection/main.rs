//! Opaque tokens: what an issuer answers, and what a client gets, on a clock that the tests move.
#![cfg(feature = "introspection")]

mod outages;
mod responses;
mod storing;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use palisade_auth::{
    Fetch, Fetched, Identity, Introspection, IntrospectionBuilder, testing::OpaqueIssuer,
};
use palisade_core::{ApiError, BoxError, BoxFuture, ManualClock, Measured, PolicyLayer};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};

const NOW: u64 = 1_700_000_000;

/// A client with a fixed response, which the test can delay.
#[derive(Clone)]
struct Scripted {
    body: Bytes,
    open: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            open: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            asked: Arc::default(),
        }
    }

    fn stalled(body: impl Into<Bytes>) -> Self {
        Self { open: Arc::new(Semaphore::new(0)), ..Self::new(body) }
    }

    fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS >> 1);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Fetch for Scripted {
    fn fetch(&self, _: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        Box::pin(async { Err("introspection is a POST".into()) })
    }

    fn post(&self, _: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (body, open) = (self.body.clone(), Arc::clone(&self.open));
        Box::pin(async move {
            let _permit = open.acquire().await?;
            Ok(Fetched::new(body))
        })
    }
}

struct Setup {
    issuer: OpaqueIssuer,
    clock: ManualClock,
    auth: Introspection<Value>,
}

fn builder(client: impl Fetch, clock: &ManualClock) -> IntrospectionBuilder<Value> {
    Introspection::endpoint("https://issuer.example/introspect")
        .client_secret_basic("orders-api", "secret")
        .audience("orders")
        .fetch(client)
        .clock(Arc::new(clock.clone()))
}

type Change = fn(IntrospectionBuilder<Value>) -> IntrospectionBuilder<Value>;

fn setup_with(change: Change) -> Setup {
    let issuer = OpaqueIssuer::new("orders-api", "secret");
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = change(builder(issuer.clone(), &clock)).build().unwrap();
    Setup { issuer, clock, auth }
}

fn setup() -> Setup {
    setup_with(|builder| builder)
}

impl Setup {
    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Returns the status and the challenge for a token.
    async fn check(&self, token: &str) -> (u16, String) {
        check(&self.auth, token).await
    }

    async fn status(&self, token: &str) -> u16 {
        self.check(token).await.0
    }
}

async fn check(auth: &Introspection<Value>, token: &str) -> (u16, String) {
    let response = send(auth.clone(), &[&format!("Bearer {token}")]).await;
    let challenge = response.headers().get(header::WWW_AUTHENTICATE);
    let challenge = challenge.map_or("", |challenge| challenge.to_str().unwrap());
    (response.status().as_u16(), challenge.to_owned())
}

/// Sends a request with these `Authorization` fields. The answer of the service is the subject.
async fn send(policy: Introspection<Value>, authorization: &[&str]) -> Response<()> {
    let service =
        PolicyLayer::new(policy).layer(service_fn(|request: Request<String>| async move {
            let identity = Identity::<Value>::from_extensions(request.extensions()).unwrap();
            let mut response = Response::new(String::new());
            let subject = identity.principal().subject().parse().unwrap();
            response.headers_mut().insert("x-subject", subject);
            Ok::<_, Infallible>(response)
        }));
    let mut request = Request::get("/").body(String::new()).unwrap();
    let fields = authorization.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
    *request.headers_mut() = HeaderMap::from_iter(fields);
    service.oneshot(request).await.unwrap().map(drop)
}

fn claims() -> Value {
    json!({"sub": "ada", "aud": "orders", "exp": NOW + 3600})
}

#[tokio::test]
async fn introspection_requests_and_failures_are_measured() {
    let setup = setup();
    let measured = || {
        let all = setup.auth.measure();
        assert!(all.iter().all(|one| palisade_auth::METRICS.contains(one.metric)), "{all:?}");
        all.iter().map(|one| one.value).collect::<Vec<_>>()
    };
    assert_eq!(measured(), [1.0, 0.0, 0.0, 0.0], "usable, hits, questions, failures");
    let token = setup.issuer.issue(claims());
    assert_eq!((setup.status(&token).await, setup.status(&token).await), (200, 200));
    assert_eq!(measured(), [1.0, 1.0, 1.0, 0.0]);
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    assert_eq!(setup.status("another").await, 503);
    assert_eq!(setup.status("third").await, 503);
    assert_eq!(measured(), [0.0, 1.0, 2.0, 1.0]);
}

#[tokio::test]
async fn the_client_authenticates_by_form() {
    let issuer = OpaqueIssuer::new("orders:api", "s&cret=ü");
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let token = issuer.issue(claims());
    let post = builder(issuer.clone(), &clock).client_secret_post("orders:api", "s&cret=ü");
    assert_eq!(check(&post.build().unwrap(), &token).await.0, 200);
    let basic = builder(issuer, &clock).client_secret_basic("orders:api", "s&cret=ü");
    assert_eq!(check(&basic.build().unwrap(), &token).await.0, 200);
}

#[test]
fn rejects_settings_that_cannot_work() {
    let cases: [(&str, Change); 8] = [
        ("any_audience", |builder| builder.any_audience()),
        ("client_secret_basic", |builder| builder.client_secret_basic("", "secret")),
        ("bearer_token", |builder| builder.bearer_token("a\nb")),
        ("cache_for", |builder| builder.cache_for(Duration::MAX)),
        ("max_stale", |builder| builder.max_stale(Duration::MAX)),
        ("timeout", |builder| builder.timeout(Duration::ZERO)),
        ("cache_bytes", |builder| builder.cache_bytes(usize::MAX)),
        ("realm", |builder| builder.realm("a\"b")),
    ];
    for (setting, change) in cases {
        let clock = ManualClock::default();
        let error = change(builder(Scripted::new(""), &clock)).build().unwrap_err();
        assert_eq!(error.setting(), setting, "{error}");
    }
    let endpoint = |url: &str| Introspection::<Value>::endpoint(url).fetch(Scripted::new(""));
    let error = endpoint("http://127.0.0.1/").any_audience().build().unwrap_err();
    assert_eq!(error.setting(), "introspection endpoint");
    let error = endpoint("https://issuer.example/").any_audience().build().unwrap_err();
    assert_eq!(error.setting(), "client authentication");
    let error = endpoint("https://issuer.example/").bearer_token("own").build().unwrap_err();
    assert_eq!(error.setting(), "audience");
}
