//! No secret of a request is in the log, on the page, in the explanation or in a response, in any outcome of the request.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use palisade::{
    ApiError, BoxError, BoxFuture, Clock, Decision, ErrorLayer, Policy, Principal, Secret,
    SystemClock, WithAuth, any_of,
    auth::{
        ApiKey, ApiKeys, Authenticate, Basic, Identity, InMemoryApiKeys, Jwt, Password,
        SessionStore, Sessions, testing::sign_hs256,
    },
    observe::{AccessLog, Explain, Observe, Readings, RequestSpan},
    rate_limit::{Quota, RateLimit, SharedStore, by},
    rate_limit_redis::RedisStore,
    recorder::Recorder,
    redis::{Redis, testing::RedisServer},
    shadow, stack,
    webhook::{GitHub, InMemoryReplays, Replays, Standard, Stripe, Webhook},
};
use serde_json::json;
use tower::ServiceExt;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// What a scraper gets, of all tests here.
fn prometheus() -> &'static PrometheusHandle {
    static PROMETHEUS: OnceLock<PrometheusHandle> = OnceLock::new();
    PROMETHEUS.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap())
}

/// Everything that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Keeps what is logged on this thread, at every level, until the guard is dropped.
    fn of_everything() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const SIGNING_KEY: &str = "a-signing-key-of-at-least-32-bytes";
const HASHING_KEY: &str = "a-hashing-key-of-at-least-16-bytes";
const EXPLAIN: &str = "explain-secret-of-at-least-16-bytes";
const PASSWORD: &str = "correct-horse-battery";
const WRONG_PASSWORD: &str = "wrong-horse-battery";
const SESSION: &str = "session-token-0123456789abcdef";
const UNKNOWN_SESSION: &str = "unknown-session-0123456789abcdef";
const IN_QUERY: &str = "query-token-0123456789abcdef";
const OTHER_COOKIE: &str = "tracking-cookie-0123456789abcdef";
const SET_COOKIE: &str = "new-session-0123456789abcdef";
const PROXY: &str = "proxy-credentials-0123456789";

#[derive(serde::Deserialize)]
struct Claims {}

#[derive(Clone, Debug)]
struct Store;

impl SessionStore for Store {
    type Claims = ();

    fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<()>>, BoxError>> {
        let found = (token == SESSION).then(|| Identity::new((), Principal::new("ada")));
        Box::pin(async move { Ok(found) })
    }
}

#[derive(Clone)]
struct OnTrial;

impl Policy for OnTrial {
    type Grant = ();

    fn decide(&self, _: &http::request::Parts) -> Decision<()> {
        Decision::refuse(ApiError::forbidden())
    }
}

async fn boom() {
    panic!("as it was told to")
}

#[tokio::test]
async fn secrets_of_credentials_are_never_written() {
    let (log, _here) = Log::of_everything();
    let metrics = prometheus();

    let jwt = Jwt::<Claims>::hs256(SIGNING_KEY).audience("tests").build().unwrap();
    let in_query = Jwt::<Claims>::hs256(SIGNING_KEY).insecure_token_in_query("token");
    let in_query = in_query.audience("tests").build().unwrap();
    let keys = InMemoryApiKeys::new();
    let key = ApiKey::generate("acme", Principal::new("billing")).unwrap();
    keys.insert(key.record().clone());
    let unknown_key = ApiKey::generate("acme", Principal::new("nobody")).unwrap();
    let api_keys = ApiKeys::builder("acme", keys).build().unwrap();
    let sessions = Sessions::builder(Store).cookie("session").build().unwrap();
    let basic = Basic::builder(|user: String, password: Password| {
        let good = password.matches(&Secret::from(PASSWORD));
        async move { Ok::<_, BoxError>(good.then(|| Identity::new((), Principal::new(user)))) }
    })
    .build()
    .unwrap();
    let recorder = Recorder::new();
    let observe = Observe::new()
        .access_log(
            AccessLog::new().query_parameters(["page"]).hash_principals(HASHING_KEY).unwrap(),
        )
        .explain(Explain::for_requests_with("x-explain", EXPLAIN).unwrap())
        .metrics()
        .report_to(recorder.reporter());
    let readings = Readings::new().part("tests", jwt.clone());
    let logged = format!("{observe:?} {jwt:?} {api_keys:?} {sessions:?}");

    let app: Router = Router::new()
        .route("/jwt", get(|| async { [(header::SET_COOKIE, SET_COOKIE)] }).with_auth(&jwt))
        .route("/key", get(|| async { "ok" }).with_auth(&api_keys))
        .route(
            "/either",
            get(|| async { "ok" }).with_role(&any_of(jwt.clone(), api_keys.clone()), ["admin"]),
        )
        .route("/session", get(|| async { "ok" }).with_auth(&sessions))
        .route("/basic", get(|| async { "ok" }).with_auth(&basic))
        .route("/query", get(|| async { "ok" }).with_auth(&in_query))
        .route("/boom", get(boom).with_auth(&jwt.clone().optional()))
        .layer(
            stack()
                .observe(observe)
                .layer(RequestSpan)
                .errors(ErrorLayer::new())
                .policy(shadow(OnTrial)),
        );

    let token = sign_hs256(SIGNING_KEY, &json!({"sub": "ada", "aud": "tests", "exp": u32::MAX}));
    let elsewhere =
        sign_hs256(SIGNING_KEY, &json!({"sub": "ada", "aud": "other", "exp": u32::MAX}));
    let expired = sign_hs256(SIGNING_KEY, &json!({"sub": "ada", "aud": "tests", "exp": 1}));
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let basic =
        |password: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("ada:{password}")));
    let credentials = [
        format!("Bearer {token}"),
        format!("Bearer {elsewhere}"),
        format!("Bearer {expired}"),
        format!("Bearer {forged}"),
        format!("Bearer {}", key.plaintext()),
        format!("Bearer {}", unknown_key.plaintext()),
        basic(PASSWORD),
        basic(WRONG_PASSWORD),
        format!("Unknown {token}"),
    ];
    let mut answers = String::new();
    for path in ["/jwt", "/key", "/either", "/session", "/basic", "/boom", "/nowhere"] {
        for credential in &credentials {
            for session in [SESSION, UNKNOWN_SESSION] {
                for asks in [EXPLAIN, "a guess at a secret"] {
                    let request = Request::get(format!("{path}?access_token={IN_QUERY}&page=2"))
                        .header(header::AUTHORIZATION, credential)
                        .header(header::PROXY_AUTHORIZATION, PROXY)
                        .header("x-api-key", key.plaintext())
                        .header(header::COOKIE, format!("session={session}; other={OTHER_COOKIE}"))
                        .header("x-explain", asks)
                        .body(Body::empty())
                        .unwrap();
                    let response = app.clone().oneshot(request).await.unwrap();
                    let (mut head, body) = response.into_parts();
                    head.headers.remove(header::SET_COOKIE);
                    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                    answers.push_str(&format!(
                        "{:?} {}",
                        head.headers,
                        String::from_utf8_lossy(&body)
                    ));
                }
            }
        }
    }

    for token in [&token, &forged] {
        let request = Request::get(format!("/query?page=2&token={token}"));
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        answers.push_str(&format!("{response:?}"));
    }
    assert!(answers.contains("status: 200"), "a token in a query is taken where that is said");

    let log = log.text();
    let requests = log.matches("palisade::access").count();
    assert_eq!(requests, 7 * credentials.len() * 2 * 2 + 2, "each request is in the log once");
    assert!(log.contains("palisade::shadow") && log.contains("palisade::errors"), "at every level");
    assert!(answers.contains("x-palisade-explain"));
    let after_the_scheme =
        credentials.iter().map(|credential| credential.split(' ').next_back().unwrap());
    let signature = token.rsplit('.').next().unwrap();
    let secrets = [
        SIGNING_KEY,
        HASHING_KEY,
        EXPLAIN,
        PASSWORD,
        WRONG_PASSWORD,
        SESSION,
        UNKNOWN_SESSION,
        IN_QUERY,
        OTHER_COOKIE,
        SET_COOKIE,
        PROXY,
        signature,
        key.plaintext(),
        unknown_key.plaintext(),
    ];
    readings.read();
    let places = [
        ("log", log),
        ("page", recorder.html()),
        ("recorder", recorder.json().to_string()),
        ("metrics", metrics.render()),
        ("answers", answers),
        ("debug", logged),
    ];
    assert!(places[3].1.contains("palisade_jwt_cache_hits_total{jwt=\"tests\"}"));
    is_nowhere(after_the_scheme.chain(secrets), &places);
}

fn is_nowhere<'a>(secrets: impl Iterator<Item = &'a str>, places: &[(&str, String)]) {
    for secret in secrets {
        for (name, place) in places {
            assert!(!place.contains(secret), "{secret} is in the {name}");
        }
    }
}

const REDIS_PASSWORD: &str = "redis-password-0123456789";
const OTHER_REDIS_PASSWORD: &str = "another-redis-password-0123456789";
const RIGHT_REDIS_PASSWORD: &str = "right-redis-password-0123456789";
const DIGEST_SECRET: &str = "digest-secret-0123456789";
const STRIPE: &str = "whsec_stripe0123456789abcdefghijklmnop";
const GITHUB: &str = "github-secret-0123456789";
const STANDARD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn secrets_of_signers_and_stores_are_never_written() {
    let (log, _here) = Log::of_everything();
    let metrics = prometheus();
    // A port without a listener: it was bound, and is free again. And a server that wants another password.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = RedisServer::start_with_password(RIGHT_REDIS_PASSWORD);
    let redis = |url: &str| Redis::builder(url);
    let mut stores =
        vec![redis(&format!("redis://limits:{REDIS_PASSWORD}@{closed}/0")).build().unwrap()];
    if let Some(server) = &server {
        stores.push(redis(&server.url()).password(OTHER_REDIS_PASSWORD).build().unwrap());
    }
    let mut debug = String::new();
    let limits: Vec<RateLimit<_>> = stores
        .into_iter()
        .map(|store| {
            debug.push_str(&format!("{store:?}"));
            let store = RedisStore::new(store);
            debug.push_str(&format!("{store:?}"));
            let everybody = by(|_: &http::request::Parts| Some(()));
            let by = SharedStore::new(store).secret(DIGEST_SECRET).timeout(Duration::from_secs(2));
            debug.push_str(&format!("{by:?}"));
            let quota = Quota::per(100, Duration::from_secs(60));
            RateLimit::per_key(everybody, quota).name("tests").store(by).build().unwrap()
        })
        .collect();
    let recorder = Recorder::new();
    let observe = Observe::new()
        .explain(Explain::insecure_to_everybody())
        .metrics()
        .report_to(recorder.reporter());
    let readings =
        limits.iter().fold(Readings::new(), |all, limit| all.part("tests", limit.clone()));

    let (now, body) = (SystemClock.unix(), "{\"id\":\"evt_1\"}");
    let hooks = [
        ("/stripe", Webhook::stripe(STRIPE), Stripe::sign(STRIPE, now, body.as_bytes())),
        ("/github", Webhook::github(GITHUB), GitHub::sign(GITHUB, body.as_bytes())),
        (
            "/standard",
            Webhook::standard(STANDARD),
            Standard::signer(STANDARD).unwrap().sign("msg_1", now, body.as_bytes()),
        ),
    ];
    let mut app: Router = Router::new();
    let mut requests: Vec<(String, HeaderMap)> = Vec::new();
    for (path, webhook, signed) in hooks {
        let replays = Replays::new(InMemoryReplays::new(100).unwrap());
        let webhook = webhook.replays(replays).build().unwrap();
        debug.push_str(&format!("{webhook:?}"));
        app = app.route(path, post(async || "ok").layer(webhook));
        let signed = signed.unwrap();
        // twice, with a bad signature, and with none
        let mut forged = signed.clone();
        for value in forged.values_mut() {
            let text = value.to_str().unwrap();
            let last = if text.ends_with('0') { '1' } else { '0' };
            *value = HeaderValue::try_from(format!("{}{last}", &text[..text.len() - 1])).unwrap();
        }
        for headers in [signed.clone(), signed, forged, HeaderMap::new()] {
            requests.push((path.to_owned(), headers));
        }
    }
    for (at, limit) in limits.iter().enumerate() {
        let path = format!("/limited/{at}");
        app = app.route(&path, post(async || "ok").layer(limit.layer()));
        requests.extend((0..3).map(|_| (path.clone(), HeaderMap::new())));
    }
    let app = app.layer(stack().observe(observe).layer(RequestSpan).errors(ErrorLayer::new()));

    let mut answers = String::new();
    let mut statuses = Vec::new();
    for (path, headers) in &requests {
        let mut request = Request::post(path).body(Body::from(body)).unwrap();
        request.headers_mut().extend(headers.clone());
        let (head, body) = Response::into_parts(app.clone().oneshot(request).await.unwrap());
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        statuses.push(head.status.as_u16());
        answers.push_str(&format!("{:?} {}", head.headers, String::from_utf8_lossy(&body)));
    }
    for of_hook in statuses.chunks(4).take(3) {
        assert!(of_hook[..2] == [200, 200] && of_hook[2..].iter().all(|status| *status >= 400));
    }
    assert!(statuses[12..].iter().all(|status| *status == 503), "{statuses:?}");

    readings.read();
    let log = log.text();
    assert_eq!(log.matches("palisade::access").count(), requests.len());
    assert!(log.contains("the store of a rate limit has failed"));
    let places = [
        ("log", log),
        ("page", recorder.html()),
        ("recorder", recorder.json().to_string()),
        ("metrics", metrics.render()),
        ("answers", answers),
        ("debug", debug),
    ];
    let sent: Vec<&str> = requests
        .iter()
        .flat_map(|(_, headers)| headers)
        .filter(|(name, _)| name.as_str().contains("signature"))
        .flat_map(|(_, value)| value.to_str().unwrap().split([',', ' ']))
        // without `t=`, `v1=`, `sha256=` and `v1`, and without padding
        .map(|part| part.trim_end_matches('='))
        .map(|part| part.split_once('=').map_or(part, |(_, part)| part))
        .filter(|part| part.len() > 12)
        .collect();
    assert!(sent.len() >= 9, "{sent:?}");
    let secrets = [
        REDIS_PASSWORD,
        OTHER_REDIS_PASSWORD,
        RIGHT_REDIS_PASSWORD,
        DIGEST_SECRET,
        STRIPE,
        GITHUB,
        STANDARD,
    ];
    let bare = [STRIPE, STANDARD].map(|secret| secret.strip_prefix("whsec_").unwrap());
    is_nowhere(sent.into_iter().chain(secrets).chain(bare), &places);
}
