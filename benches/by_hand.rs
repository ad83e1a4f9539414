//! The policies of [`Ours`](crate::stacks::Ours) for one allowed request, written by hand in one function: what a stack costs at
//! least if requests and responses get the same header fields and extensions.
//!
//! It has no settings, no rejections but empty ones, no gRPC, no log, and no protection against clients that fill its tables.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Ready,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use jsonwebtoken::{DecodingKey, Validation};
use palisade::PeerAddr;
use tower::Service;

use crate::{
    full_stack::MIB,
    stacks::{AUDIENCE, Claims, Hello, ORIGINS, SECRET, SECURITY_HEADERS},
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const EXPOSED: &str = "Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-Id";
const WINDOW: Duration = Duration::from_secs(10);

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub struct Id(pub HeaderValue);

/// The caller of a request, in its extensions.
#[derive(Clone, Debug)]
pub struct Caller(pub Arc<Claims>);

/// The claims of the caller, in its extensions.
#[derive(Clone, Debug)]
pub struct Token(pub Arc<Claims>);

/// Answers requests like the whole stack around [`Hello`].
#[derive(Clone)]
pub struct ByHand {
    state: Arc<State>,
    /// Short values share one allocation.
    slab: BytesMut,
}

struct State {
    ids: AtomicU64,
    began: Instant,
    counts: Mutex<HashMap<IpAddr, (u64, u32)>>,
    tokens: Mutex<HashMap<HeaderValue, Arc<Claims>>>,
    key: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByHand").finish_non_exhaustive()
    }
}

impl Default for ByHand {
    fn default() -> Self {
        crate::stacks::select_backend();
        let mut validation = Validation::default();
        validation.set_audience(&[AUDIENCE]);
        let state = State {
            ids: AtomicU64::new(0),
            began: Instant::now(),
            counts: Mutex::default(),
            tokens: Mutex::default(),
            key: DecodingKey::from_secret(SECRET.as_bytes()),
            validation,
        };
        Self { state: Arc::new(state), slab: BytesMut::new() }
    }
}

impl ByHand {
    fn value(&mut self, text: &[u8]) -> Result<HeaderValue, StatusCode> {
        if self.slab.capacity() < text.len() {
            self.slab = BytesMut::with_capacity(2304);
        }
        self.slab.extend_from_slice(text);
        let text = self.slab.split().freeze();
        HeaderValue::from_maybe_shared(text).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn id(&mut self) -> Result<HeaderValue, StatusCode> {
        let number = self.state.ids.fetch_add(1, Ordering::Relaxed);
        let mut text = *b"00000000-0000-7000-8000-000000000000";
        for (at, byte) in number.to_le_bytes().into_iter().enumerate() {
            text[35 - at] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        self.value(&text)
    }

    /// Counts a request of this address, and returns how many are left in the window.
    fn count(&self, address: IpAddr) -> Result<u32, StatusCode> {
        let window = self.state.began.elapsed().as_secs() / WINDOW.as_secs();
        let mut counts = self.state.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (counted_in, count) = counts.entry(address).or_default();
        if *counted_in != window {
            (*counted_in, *count) = (window, 0);
        }
        *count = count.checked_add(1).ok_or(StatusCode::TOO_MANY_REQUESTS)?;
        Ok(u32::MAX - *count)
    }

    /// Returns the claims of a token, from memory if it was seen before.
    fn claims(&self, value: &HeaderValue) -> Result<Arc<Claims>, StatusCode> {
        let mut tokens = self.state.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = tokens.get(value) {
            return Ok(Arc::clone(claims));
        }
        let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let decoded = jsonwebtoken::decode(token, &self.state.key, &self.state.validation);
        let claims = Arc::new(decoded.map_err(|_| StatusCode::UNAUTHORIZED)?.claims);
        tokens.insert(value.clone(), Arc::clone(&claims));
        Ok(claims)
    }

    fn answer<B: http_body::Body>(
        &mut self,
        mut request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, StatusCode> {
        let id = match request.headers().get(X_REQUEST_ID) {
            Some(id) => id.clone(),
            None => self.id()?,
        };
        request.headers_mut().insert(X_REQUEST_ID, id.clone());
        request.extensions_mut().insert(Id(id.clone()));

        let origin = request.headers().get(header::ORIGIN).cloned();
        let origin = origin.filter(|origin| ORIGINS.iter().any(|allowed| allowed == origin));

        let peer = request.extensions().get::<PeerAddr>().ok_or(StatusCode::FORBIDDEN)?;
        let left = self.count(peer.0.ip())?;

        let token = request.headers().get(header::AUTHORIZATION).ok_or(StatusCode::UNAUTHORIZED)?;
        let claims = self.claims(token)?;
        if !claims.roles.iter().any(|role| role == "admin") {
            return Err(StatusCode::FORBIDDEN);
        }
        request.extensions_mut().insert(Caller(Arc::clone(&claims)));
        request.extensions_mut().insert(Token(claims));

        if request.body().size_hint().lower() > MIB as u64 {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let mut response = match Service::call(&mut Hello, request).into_inner() {
            Ok(response) => response,
            Err(never) => match never {},
        };

        let headers = response.headers_mut();
        headers.reserve(14);
        let policy = HeaderValue::from_static("\"default\";q=4294967295;w=10");
        headers.insert(RATELIMIT_POLICY, policy);
        let mut text = BytesMut::with_capacity(24);
        text.extend_from_slice(b"\"default\";r=");
        text.extend_from_slice(HeaderValue::from(left).as_bytes());
        headers.insert(RATELIMIT, self.value(&text)?);
        write_fields(headers, origin, id);
        Ok(response)
    }
}

fn write_fields(headers: &mut HeaderMap, origin: Option<HeaderValue>, id: HeaderValue) {
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let allowed = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    headers.insert(X_REQUEST_ID, id);
}

impl<B: http_body::Body> Service<Request<B>> for ByHand {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = self.answer(request).unwrap_or_else(|status| {
            let mut response = Response::new(Full::default());
            *response.status_mut() = status;
            response
        });
        std::future::ready(Ok(response))
    }
}
