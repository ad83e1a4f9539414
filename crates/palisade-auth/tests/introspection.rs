//! Opaque tokens: what an issuer answers, and what a client gets, on a clock that the tests move.
#![cfg(feature = "introspection")]

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
async fn an_active_token_becomes_an_identity() {
    let setup = setup_with(|builder| {
        builder.issuer("https://issuer.example").roles_at(["realm_access", "roles"])
    });
    let token = setup.issuer.issue(json!({
        "sub": "ada",
        "username": "Ada",
        "iss": "https://issuer.example",
        "aud": ["orders", "billing"],
        "scope": "read write",
        "realm_access": {"roles": ["admin"]},
        "exp": NOW + 3600,
    }));
    let ada = setup.auth.verify(&token).await.unwrap();
    assert_eq!(ada.claims()["username"], "Ada");
    assert_eq!(ada.principal().subject(), "ada");
    assert_eq!(ada.principal().issuer(), "https://issuer.example");
    assert_eq!(ada.principal().scopes().collect::<Vec<_>>(), ["read", "write"]);
    assert_eq!(ada.principal().roles().collect::<Vec<_>>(), ["admin"]);
    let response = send(setup.auth.clone(), &[&format!("Bearer {token}")]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-subject"], "ada");
    assert_eq!(setup.issuer.questions(), 1);
}

#[tokio::test]
async fn scopes_may_be_a_list_and_the_issuer_unnamed() {
    let setup = setup_with(|builder| builder.issuer("https://issuer.example"));
    let token = setup.issuer.issue(json!({"sub": "1", "aud": "orders", "scope": ["a", "b"]}));
    let caller = setup.auth.verify(&token).await.unwrap();
    assert_eq!(caller.principal().scopes().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(caller.principal().issuer(), "https://issuer.example");
}

#[tokio::test]
async fn rejects_tokens_whose_answer_does_not_fit() {
    let setup = setup_with(|builder| builder.issuer("https://issuer.example"));
    let invalid = "Bearer realm=\"api\", error=\"invalid_token\", \
                   error_description=\"The access token is not valid\"";
    for claims in [
        json!({"sub": "ada", "aud": "billing"}),
        json!({"sub": "ada"}),
        json!({"aud": "orders"}),
        json!({"sub": "", "aud": "orders"}),
        json!({"sub": "ada", "aud": "orders", "iss": "https://other.example"}),
        json!({"sub": "ada", "aud": "orders", "nbf": NOW + 1000}),
        json!({"sub": "ada", "aud": "orders", "exp": "never"}),
        json!({"sub": "ada", "aud": "orders", "cnf": {"jkt": "x"}}),
    ] {
        let token = setup.issuer.issue(claims.clone());
        assert_eq!(setup.check(&token).await, (401, invalid.to_owned()), "{claims}");
    }
    let token = setup.issuer.issue(json!({"sub": "ada", "aud": "orders", "exp": NOW - 61}));
    let (status, challenge) = setup.check(&token).await;
    assert!(status == 401 && challenge.contains("expired"), "{challenge}");
    assert_eq!(setup.check("unknown").await, (401, invalid.to_owned()));
}

#[tokio::test]
async fn requests_without_one_good_token_ask_no_questions() {
    let setup = setup();
    let token = setup.issuer.issue(claims());
    let bearer = format!("Bearer {token}");
    let long = format!("Bearer {}", "x".repeat(8 * 1024 + 1));
    for (fields, status, challenge) in [
        (vec![], 401, "Bearer realm=\"api\""),
        (vec!["Basic b3JkZXJz"], 401, "Bearer realm=\"api\""),
        (vec![&*bearer, &*bearer], 400, "Bearer realm=\"api\", error=\"invalid_request\""),
        (vec!["Bearer "], 401, "Bearer realm=\"api\", error=\"invalid_token\""),
        (vec!["Bearer a b"], 401, "Bearer realm=\"api\", error=\"invalid_token\""),
        (vec!["Bearer a\"b"], 401, "Bearer realm=\"api\", error=\"invalid_token\""),
        (vec![&*long], 401, "Bearer realm=\"api\", error=\"invalid_token\""),
    ] {
        let response = send(setup.auth.clone(), &fields).await;
        assert_eq!(response.status(), status, "{fields:?}");
        let found = response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert!(found.starts_with(challenge), "{found}");
    }
    assert_eq!(setup.issuer.questions(), 0);
}

#[tokio::test]
async fn answers_are_stored_for_their_time() {
    let setup = setup();
    let token = setup.issuer.issue(claims());
    assert_eq!(setup.status(&token).await, 200);
    setup.issuer.revoke(&token);
    setup.pass(29);
    assert_eq!(setup.status(&token).await, 200);
    assert_eq!(setup.issuer.questions(), 1);
    setup.pass(1);
    assert_eq!(setup.status(&token).await, 401);
    setup.issuer.replace(&token, claims());
    setup.pass(4);
    assert_eq!(setup.status(&token).await, 401);
    assert_eq!(setup.issuer.questions(), 2);
    setup.pass(1);
    assert_eq!(setup.status(&token).await, 200);
    assert_eq!(setup.issuer.questions(), 3);
}

#[tokio::test]
async fn clear_removes_all_answers() {
    let setup = setup();
    let token = setup.issuer.issue(claims());
    assert_eq!(setup.status(&token).await, 200);
    setup.issuer.revoke(&token);
    setup.auth.clear();
    assert_eq!(setup.status(&token).await, 401);
}

#[tokio::test]
async fn no_answer_is_stored_beyond_the_expiry() {
    let setup = setup_with(|builder| {
        builder.cache_for(Duration::from_secs(3600)).max_stale(Duration::from_secs(3600))
    });
    let token = setup.issuer.issue(json!({"sub": "ada", "aud": "orders", "exp": NOW + 10}));
    assert_eq!(setup.status(&token).await, 200);
    setup.pass(10);
    assert_eq!(setup.status(&token).await, 200, "within the skew");
    assert_eq!(setup.issuer.questions(), 2);
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    assert_eq!(setup.status(&token).await, 503);
    setup.issuer.recover();
    setup.pass(60);
    assert_eq!(setup.status(&token).await, 401);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_503() {
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let setup = setup();
        let token = setup.issuer.issue(claims());
        setup.issuer.fail(StatusCode::from_u16(status).unwrap());
        for _ in 0..3 {
            let response = send(setup.auth.clone(), &[&format!("Bearer {token}")]).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(response.headers().contains_key(header::RETRY_AFTER));
            assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
        }
        assert_eq!(setup.issuer.questions(), 1, "one back-off");
        setup.issuer.recover();
        setup.pass(2);
        assert_eq!(setup.status(&token).await, 200);
    }
}

#[tokio::test]
async fn failing_issuer_is_asked_once_per_back_off() {
    let setup = setup();
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    let mut asked = 0;
    for token in 0..1200 {
        assert_eq!(setup.status(&format!("token-{token}")).await, 503);
        setup.clock.advance(Duration::from_millis(100));
        asked = setup.issuer.questions();
    }
    // Two minutes: after 2, 4, 8 and 16 s, and then every 15 to 30 s.
    assert!((6..=14).contains(&asked), "{asked}");
    setup.issuer.recover();
    setup.pass(30);
    for _ in 0..20 {
        assert_eq!(setup.status(&setup.issuer.issue(claims())).await, 200);
    }
    // One more failure costs one short back-off again.
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    assert_eq!(setup.status("another").await, 503);
    setup.issuer.recover();
    setup.pass(2);
    assert_eq!(setup.status(&setup.issuer.issue(claims())).await, 200);
}

#[tokio::test]
async fn tokens_of_unusual_form_do_not_block_others() {
    for status in [400, 403, 413, 414, 422] {
        let setup = setup();
        for round in 0..10 {
            setup.issuer.fail(StatusCode::from_u16(status).unwrap());
            assert_eq!(setup.status(&format!("~~~{round}")).await, 503);
            setup.issuer.recover();
            assert_eq!(setup.status(&setup.issuer.issue(claims())).await, 200, "{status}");
        }
    }
}

/// An issuer that does not answer about one token.
#[derive(Clone)]
struct HangsOn(&'static str, Scripted);

impl Fetch for HangsOn {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        self.1.fetch(url)
    }

    fn post(&self, request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        if std::str::from_utf8(request.body()).unwrap().contains(self.0) {
            return Box::pin(std::future::pending());
        }
        self.1.post(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_hangs_does_not_block_others() {
    let client = Scripted::new(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(HangsOn("hangs", client), &clock).build().unwrap();
    let hanging = tokio::spawn({
        let auth = auth.clone();
        async move { check(&auth, "hangs").await.0 }
    });
    tokio::task::yield_now().await;
    assert_eq!(check(&auth, "good").await.0, 200);
    assert_eq!(hanging.await.unwrap(), 503);
    assert_eq!(check(&auth, "another").await.0, 200, "the issuer has answered meanwhile");
}

#[tokio::test]
async fn one_question_ends_an_outage_and_the_others_wait_for_it() {
    let issuer = Scripted::stalled(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let down = Arc::new(AtomicUsize::new(1));
    let client = FailsWhile(Arc::clone(&down), issuer.clone());
    let auth = builder(client, &clock).build().unwrap();
    assert_eq!(check(&auth, "first").await.0, 503);
    down.store(0, Ordering::SeqCst);
    clock.advance(Duration::from_secs(2));
    let requests: Vec<_> = (0..100)
        .map(|token| {
            let auth = auth.clone();
            tokio::spawn(async move { check(&auth, &format!("token-{token}")).await.0 })
        })
        .collect();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(issuer.asked(), 1);
    issuer.open();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(issuer.asked(), 100);
}

/// A client that finds no connection while the number is not 0.
#[derive(Clone)]
struct FailsWhile(Arc<AtomicUsize>, Scripted);

impl Fetch for FailsWhile {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        self.1.fetch(url)
    }

    fn post(&self, request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        match self.0.load(Ordering::SeqCst) {
            0 => self.1.post(request),
            _ => Box::pin(async { Err("connection refused".into()) }),
        }
    }
}

#[tokio::test]
async fn clear_asks_again_for_requests_that_wait() {
    let client = Scripted::stalled(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client.clone(), &clock).build().unwrap();
    let waiting = tokio::spawn({
        let auth = auth.clone();
        async move { check(&auth, "token").await.0 }
    });
    while client.asked() == 0 {
        tokio::task::yield_now().await;
    }
    auth.clear();
    let later = tokio::spawn({
        let auth = auth.clone();
        async move { check(&auth, "token").await.0 }
    });
    while client.asked() == 1 {
        tokio::task::yield_now().await;
    }
    client.open();
    assert_eq!((waiting.await.unwrap(), later.await.unwrap()), (200, 200));
    // The answer to the first question is not stored, and did not remove the second question.
    assert_eq!(client.asked(), 2);
    assert_eq!(check(&auth, "token").await.0, 200);
    assert_eq!(client.asked(), 2);
}

#[tokio::test]
async fn tokens_of_another_kind_are_rejected() {
    let setup = setup();
    for (member, kind) in [
        ("token_use", "refresh_token"),
        ("token_use", "id"),
        ("typ", "Refresh"),
        ("typ", "Offline"),
        ("typ", "ID"),
        ("token_type", "refresh_token"),
        ("token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("token_type", "DPoP"),
    ] {
        let mut claims = claims();
        claims[member] = kind.into();
        let token = setup.issuer.issue(claims);
        assert_eq!(setup.status(&token).await, 401, "{member} {kind}");
    }
    for (member, kind) in [
        ("token_use", "access"),
        ("token_use", "access_token"),
        ("typ", "Bearer"),
        ("typ", "at+jwt"),
        ("token_type", "Bearer"),
        ("token_type", "bearer"),
    ] {
        let mut claims = claims();
        claims[member] = kind.into();
        let token = setup.issuer.issue(claims);
        assert_eq!(setup.status(&token).await, 200, "{member} {kind}");
    }
}

#[tokio::test]
async fn tokens_may_be_in_other_places() {
    let setup = setup_with(|builder| {
        builder
            .token_in_authorization("Token")
            .token_in_cookie("token")
            .token_in_header(http::HeaderName::from_static("x-token"))
            .token_in_websocket_protocol("bearer.")
            .insecure_token_in_query("access_token")
    });
    let token = setup.issuer.issue(claims());
    let ask = async |uri: &str, field: &str, value: &str| {
        let service = PolicyLayer::new(setup.auth.clone()).layer(service_fn(
            |request: Request<String>| async move {
                let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
                assert!(offered.is_none_or(|offered| offered == "chat"), "the token is hidden");
                Ok::<_, Infallible>(Response::new(String::new()))
            },
        ));
        let request = Request::post(uri).header(field, value).body(String::new()).unwrap();
        service.oneshot(request).await.unwrap()
    };
    for (field, value) in [
        ("authorization", format!("Token {token}")),
        ("x-token", token.clone()),
        ("sec-websocket-protocol", format!("chat, bearer.{token}")),
    ] {
        assert_eq!(ask("/", field, &value).await.status(), 200, "{field}");
    }
    let query = ask(&format!("/?access_token={token}"), "accept", "*/*").await;
    assert_eq!(
        (query.status().as_u16(), &query.headers()["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let bearer = ask("/", "authorization", &format!("Bearer {token}")).await;
    assert_eq!(bearer.status(), 401);
    assert_eq!(bearer.headers()["www-authenticate"], "Token realm=\"api\"");
    // A cookie is sent with the requests of any page.
    let cookie = format!("token={token}");
    assert_eq!(ask("/", "cookie", &cookie).await.status(), 403);
    let two = ask(&format!("/?access_token={token}"), "x-token", &token).await;
    assert_eq!(two.status(), 400);
}

#[tokio::test]
async fn questions_and_failures_are_measured() {
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
async fn an_answer_that_is_no_answer_is_503() {
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let long = format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(64 * 1024));
    for body in ["", "{}", r#"{"active":"true"}"#, r#"{"error":"invalid_client"}"#, &*long] {
        let auth = builder(Scripted::new(body.to_owned()), &clock).build().unwrap();
        assert_eq!(check(&auth, "token").await.0, 503);
    }
    let twice = r#"{"active":true,"sub":"ada","aud":"orders","sub":"eve"}"#;
    let auth = builder(Scripted::new(twice), &clock).build().unwrap();
    assert_eq!(check(&auth, "token").await.0, 401);
}

#[tokio::test]
async fn a_wrong_client_secret_is_503_and_not_401() {
    let issuer = OpaqueIssuer::new("orders-api", "another secret");
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let token = issuer.issue(claims());
    let auth = builder(issuer, &clock).build().unwrap();
    assert_eq!(check(&auth, &token).await.0, 503);
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

#[tokio::test]
async fn old_answers_are_used_for_max_stale_in_an_outage() {
    let setup = setup_with(|builder| builder.max_stale(Duration::from_secs(100)));
    let token = setup.issuer.issue(claims());
    assert_eq!(setup.status(&token).await, 200);
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    setup.pass(30);
    for _ in 0..3 {
        assert_eq!(setup.status(&token).await, 200);
    }
    assert_eq!(setup.issuer.questions(), 2);
    assert_eq!(setup.status(&setup.issuer.issue(claims())).await, 503);
    setup.pass(100);
    assert_eq!(setup.status(&token).await, 503);
    // An issuer that answers is believed at once.
    setup.issuer.recover();
    setup.issuer.revoke(&token);
    setup.pass(2);
    assert_eq!(setup.status(&token).await, 401);
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    setup.pass(5);
    assert_eq!(setup.status(&token).await, 503, "a revoked token is not stale");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_with_one_token_share_a_question() {
    let client = Scripted::stalled(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client.clone(), &clock).build().unwrap();
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let auth = auth.clone();
            tokio::spawn(async move { check(&auth, "token").await.0 })
        })
        .collect();
    while client.asked() == 0 {
        tokio::task::yield_now().await;
    }
    client.open();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(client.asked(), 1);
}

#[tokio::test]
async fn a_question_continues_when_its_request_is_gone() {
    let client = Scripted::stalled(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client.clone(), &clock).build().unwrap();
    let request = tokio::spawn({
        let auth = auth.clone();
        async move { check(&auth, "token").await.0 }
    });
    while client.asked() == 0 {
        tokio::task::yield_now().await;
    }
    request.abort();
    let _ = request.await;
    client.open();
    assert_eq!(check(&auth, "token").await.0, 200);
    assert_eq!(client.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_is_503_after_the_timeout() {
    let client = Scripted::stalled("");
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client, &clock).build().unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(check(&auth, "token").await.0, 503);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_tokens_has_a_bounded_number_of_questions() {
    let client = Scripted::stalled(r#"{"active":false}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client.clone(), &clock).build().unwrap();
    let requests: Vec<_> = (0..2000)
        .map(|token| {
            let auth = auth.clone();
            tokio::spawn(async move { check(&auth, &format!("made-up-{token}")).await.0 })
        })
        .collect();
    while client.asked() < 512 {
        tokio::task::yield_now().await;
    }
    client.open();
    let mut statuses = [0, 0];
    for request in requests {
        statuses[usize::from(request.await.unwrap() == 503)] += 1;
    }
    assert_eq!((statuses, client.asked()), ([512, 1488], 512));
}

#[tokio::test]
async fn a_users_check_runs_on_each_request() {
    static ALLOWED: AtomicUsize = AtomicUsize::new(1);
    let setup = setup_with(|builder| {
        builder.validate(|_| match ALLOWED.load(Ordering::SeqCst) {
            1 => Ok(()),
            _ => Err(ApiError::forbidden()),
        })
    });
    let token = setup.issuer.issue(claims());
    assert_eq!(setup.status(&token).await, 200);
    ALLOWED.store(0, Ordering::SeqCst);
    assert_eq!(setup.status(&token).await, 403);
    assert_eq!(setup.issuer.questions(), 1);
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
