use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use palisade_core::{BoxError, BoxFuture, Secret};
use serde_json::{Map, Value};

use super::client::ClientAuthentication;
use crate::fetch::{Fetch, Fetched, UnexpectedStatus};

/// An issuer of opaque tokens for tests. It answers introspection requests (RFC 7662) of one client.
///
/// It is a [`Fetch`], so that tests need no server; [`answer`](Self::answer) puts it behind any HTTP server. Clones are
/// the same issuer. See the example at [`Introspection`](crate::Introspection).
///
/// ```
/// use palisade_auth::testing::OpaqueIssuer;
/// use serde_json::json;
///
/// let issuer = OpaqueIssuer::new("orders-api", "secret");
/// let token = issuer.issue(json!({ "sub": "ada" }));
///
/// let form = format!("token={token}&client_id=orders-api&client_secret=secret");
/// let request = http::Request::post("/introspect").body(form.into()).unwrap();
/// let answer = issuer.answer(&request);
/// assert_eq!(*answer.body(), r#"{"active":true,"sub":"ada"}"#);
/// assert_eq!(issuer.questions(), 1);
/// ```
#[derive(Clone)]
pub struct OpaqueIssuer(Arc<Inner>);

struct Inner {
    authorization: HeaderValue,
    id: String,
    secret: Secret,
    tokens: Mutex<HashMap<String, Map<String, Value>>>,
    outage: Mutex<Option<StatusCode>>,
    questions: AtomicUsize,
}

impl OpaqueIssuer {
    /// Creates an issuer that answers this client.
    ///
    /// # Panics
    ///
    /// Panics if the id or the secret is empty.
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        let (id, secret) = (client_id.into(), client_secret.into());
        let basic = ClientAuthentication::Basic { id: id.clone(), secret: secret.clone() };
        let ready = basic.build().expect("an id and a secret");
        let authorization = ready.header().expect("Basic is a header").clone();
        Self(Arc::new(Inner {
            authorization,
            id,
            secret,
            tokens: Mutex::default(),
            outage: Mutex::default(),
            questions: AtomicUsize::new(0),
        }))
    }

    /// Issues an opaque token. The answer about it consists of `"active": true` and the members of `claims`, which must be
    /// an object.
    ///
    /// # Panics
    ///
    /// Panics if `claims` is not an object, or without a source of randomness.
    pub fn issue(&self, claims: Value) -> String {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes).expect("a source of randomness");
        let token = URL_SAFE_NO_PAD.encode(bytes);
        self.replace(&token, claims);
        token
    }

    /// Replaces the claims of a token.
    ///
    /// # Panics
    ///
    /// Panics if `claims` is not an object.
    pub fn replace(&self, token: &str, claims: Value) {
        let Value::Object(claims) = claims else { panic!("claims are an object: {claims}") };
        let mut answer = Map::from_iter([("active".to_owned(), Value::Bool(true))]);
        answer.extend(claims);
        lock(&self.0.tokens).insert(token.to_owned(), answer);
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &str) {
        lock(&self.0.tokens).remove(token);
    }

    /// Answers all requests with this status, until [`recover`](Self::recover).
    pub fn fail(&self, status: StatusCode) {
        *lock(&self.0.outage) = Some(status);
    }

    /// Ends an outage.
    pub fn recover(&self) {
        *lock(&self.0.outage) = None;
    }

    /// Returns the number of requests that were received.
    pub fn questions(&self) -> usize {
        self.0.questions.load(Ordering::SeqCst)
    }

    /// Answers an introspection request, at any path.
    #[allow(clippy::disallowed_methods, reason = "a test issuer compares the secrets of tests")]
    pub fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.0.questions.fetch_add(1, Ordering::SeqCst);
        if let Some(status) = *lock(&self.0.outage) {
            return response(status, "");
        }
        if request.method() != Method::POST {
            return response(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        let form: HashMap<_, _> = form_urlencoded::parse(request.body()).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str);
        let is_client = request.headers().get(header::AUTHORIZATION) == Some(&self.0.authorization)
            || (field("client_id") == Some(&self.0.id)
                && field("client_secret").map(str::as_bytes) == Some(self.0.secret.expose()));
        if !is_client {
            return response(StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client"}"#);
        }
        let Some(token) = field("token") else {
            return response(StatusCode::BAD_REQUEST, r#"{"error":"invalid_request"}"#);
        };
        match lock(&self.0.tokens).get(token) {
            Some(answer) => response(StatusCode::OK, Value::from(answer.clone()).to_string()),
            None => response(StatusCode::OK, r#"{"active":false}"#),
        }
    }
}

fn response(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers introspection requests, and publishes no keys.
impl Fetch for OpaqueIssuer {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        let error = format!("the test issuer publishes no keys at {url}");
        Box::pin(async move { Err(error.into()) })
    }

    fn post(&self, request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        let issuer = self.clone();
        Box::pin(async move {
            let answer = issuer.answer(&request);
            match answer.status() {
                StatusCode::OK => Ok(Fetched::new(answer.into_body())),
                status => Err(UnexpectedStatus::new(status).into()),
            }
        })
    }
}

impl fmt::Debug for OpaqueIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpaqueIssuer").field("client_id", &self.0.id).finish_non_exhaustive()
    }
}
