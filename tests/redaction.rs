//! Nothing that is a secret is in the log, on the page, in the explanation or in an answer, whoever sent it and whatever
//! became of it.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, routing::get};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Request, header};
use palisade::{
    ApiError, BoxError, BoxFuture, Decision, ErrorLayer, Policy, Principal, Secret, WithAuth,
    any_of,
    auth::{
        ApiKey, ApiKeys, Authenticate, Basic, Identity, InMemoryApiKeys, Jwt, Password,
        SessionStore, Sessions, testing::sign_hs256,
    },
    observe::{AccessLog, Explain, Observe, Recorder, RequestSpan},
    shadow, stack,
};
use serde_json::json;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

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
async fn no_secret_of_any_kind_is_written_anywhere() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);

    let jwt = Jwt::<Claims>::hs256(SIGNING_KEY).audience("tests").build().unwrap();
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
        .recorder(&recorder);
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

    let log = log.text();
    let requests = log.matches("palisade::access").count();
    assert_eq!(requests, 7 * credentials.len() * 2 * 2, "each request is in the log once");
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
    let places = [
        ("log", log),
        ("page", recorder.html()),
        ("recorder", recorder.json().to_string()),
        ("answers", answers),
        ("debug", logged),
    ];
    for secret in after_the_scheme.chain(secrets) {
        for (name, place) in &places {
            assert!(!place.contains(secret), "{secret} is in the {name}");
        }
    }
}
