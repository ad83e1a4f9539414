//! The same protection twice: by Palisade, and by the crates that people assemble without it.
//!
//! Request ids, panics as 500, six security headers, CORS for three origins, a rate limit by address, a JWT, a role, and a limit
//! of the request's body.

use std::{
    convert::Infallible,
    future::Ready,
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use governor::{DefaultKeyedRateLimiter, Quota as GovernorQuota, RateLimiter};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use palisade::{
    PeerAddr,
    auth::{Jwt, JwtBuilder, RequireRole},
    cors::Cors,
    headers::SecurityHeaders,
    rate_limit::{ByAddress, Quota, RateLimit},
};
use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};
use tower::{Layer, Service};
use tower_http::{
    cors::{AllowOrigin, CorsLayer},
    set_header::SetResponseHeaderLayer,
};

/// What the tokens contain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// The service.
    pub aud: String,
    /// The end of the token's validity, in seconds.
    pub exp: u64,
    /// The roles of the user.
    pub roles: Vec<String>,
}

pub(crate) const SECRET: &str = "a signing key of at least thirty-two bytes";
pub(crate) const AUDIENCE: &str = "quickstart";
/// The origins of both stacks. Requests come from the last one.
pub const ORIGINS: [&str; 3] =
    ["https://app.example.com", "https://admin.example.com", "https://www.example.com"];

/// Answers every request at once. Takes any request body, so that layers may change it.
#[derive(Clone, Copy, Debug)]
pub struct Hello;

impl<B> Service<Request<B>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        std::future::ready(Ok(Response::new(Full::new(Bytes::from_static(b"hello")))))
    }
}

/// Selects AWS-LC: with several backends compiled in, jsonwebtoken does not choose.
pub(crate) fn select_backend() {
    // Fails if it was selected before.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

/// Returns a token of a user with `roles`, signed with HS256.
pub fn token(roles: &[&str]) -> String {
    select_backend();
    let claims = Claims {
        sub: "ada".into(),
        aud: AUDIENCE.into(),
        exp: 4_000_000_000,
        roles: roles.iter().map(ToString::to_string).collect(),
    };
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
        .expect("a token")
}

/// Returns a request with eight fields and a token, from an allowed origin.
pub fn request<B>(token: &str, body: B) -> Request<B> {
    Request::get("/items/7")
        .header("host", "api.example.com")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, br")
        .header("accept-language", "en")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0")
        .header("origin", ORIGINS[2])
        .header("referer", "https://www.example.com/")
        .header("authorization", format!("Bearer {token}"))
        .extension(PeerAddr(([192, 0, 2, 1], 4000).into()))
        .extension(axum::extract::ConnectInfo(std::net::SocketAddr::from(([192, 0, 2, 1], 4000))))
        .body(body)
        .expect("a request")
}

/// The policies of Palisade.
#[derive(Clone, Debug)]
pub struct Ours {
    /// Six security headers.
    pub headers: SecurityHeaders,
    /// Three origins.
    pub cors: Cors,
    /// A limit that is never reached.
    pub limit: RateLimit<ByAddress>,
    /// Tokens of [`token`].
    pub auth: Jwt<Claims>,
    /// One of two roles.
    pub role: RequireRole,
}

impl Ours {
    /// Configures the policies.
    pub fn new() -> Result<Self, palisade::ConfigError> {
        Ok(Self {
            headers: SecurityHeaders::api().always_https().build()?,
            cors: Cors::allow_origins(ORIGINS)
                .allow_methods([Method::GET, Method::POST, Method::DELETE])
                .allow_headers(["authorization", "content-type"])
                .allow_credentials(true)
                .build()?,
            limit: RateLimit::per_address(Quota::per(u32::MAX, Duration::from_secs(10))).build()?,
            auth: Self::jwt().build()?,
            role: ["admin"].into(),
        })
    }

    /// Returns the settings of the tokens. By default a token that was seen before is not verified again.
    pub fn jwt() -> JwtBuilder<Claims> {
        Jwt::hs256(SECRET).audience(AUDIENCE)
    }
}

/// The layer of tower-http with the settings of [`Ours`].
pub fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(ORIGINS.map(HeaderValue::from_static)))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .allow_credentials(true)
}

/// What [`SecurityHeaders::api`] writes over https.
pub const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains"),
];

/// One layer of tower-http for a header of [`SECURITY_HEADERS`].
pub fn security_header(which: usize) -> SetResponseHeaderLayer<HeaderValue> {
    let (name, value) = &SECURITY_HEADERS[which];
    SetResponseHeaderLayer::overriding(name.clone(), HeaderValue::from_static(value))
}

/// Answers a request, or passes it on: what people write around crates without a layer.
pub trait Check: Clone + Send + Sync + 'static {
    /// Returns the status of a rejection.
    fn check<B>(&self, request: &mut Request<B>) -> Result<(), StatusCode>;
}

/// A rate limit by the address of the peer, with governor. `tower_governor` needs axum.
#[derive(Clone, Debug)]
pub struct Governed(Arc<DefaultKeyedRateLimiter<std::net::IpAddr>>);

impl Default for Governed {
    fn default() -> Self {
        Self(Arc::new(RateLimiter::keyed(GovernorQuota::per_second(NonZeroU32::MAX))))
    }
}

impl Check for Governed {
    fn check<B>(&self, request: &mut Request<B>) -> Result<(), StatusCode> {
        let peer = request.extensions().get::<PeerAddr>();
        let address = peer.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?.0.ip();
        self.0.check_key(&address).map_err(|_| StatusCode::TOO_MANY_REQUESTS)
    }
}

/// Tokens, with jsonwebtoken.
#[derive(Clone)]
pub struct Authenticate(Arc<(DecodingKey, Validation)>);

impl std::fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticate").finish_non_exhaustive()
    }
}

impl Default for Authenticate {
    fn default() -> Self {
        select_backend();
        let mut validation = Validation::default();
        validation.set_audience(&[AUDIENCE]);
        Self(Arc::new((DecodingKey::from_secret(SECRET.as_bytes()), validation)))
    }
}

impl Check for Authenticate {
    fn check<B>(&self, request: &mut Request<B>) -> Result<(), StatusCode> {
        let (key, validation) = &*self.0;
        let value = request.headers().get(header::AUTHORIZATION);
        let token = value.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, key, validation);
        let claims = decoded.map_err(|_| StatusCode::UNAUTHORIZED)?.claims;
        request.extensions_mut().insert(claims);
        Ok(())
    }
}

/// A role of the claims that [`Authenticate`] left.
#[derive(Clone, Copy, Debug)]
pub struct Role(pub &'static str);

impl Check for Role {
    fn check<B>(&self, request: &mut Request<B>) -> Result<(), StatusCode> {
        let claims = request.extensions().get::<Claims>().ok_or(StatusCode::UNAUTHORIZED)?;
        let is_allowed = claims.roles.iter().any(|role| role == self.0);
        if is_allowed { Ok(()) } else { Err(StatusCode::FORBIDDEN) }
    }
}

/// The layer of a [`Check`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked<C>(pub C);

/// The service of [`Checked`].
#[derive(Clone, Copy, Debug)]
pub struct CheckedService<C, S>(C, S);

impl<C: Clone, S> Layer<S> for Checked<C> {
    type Service = CheckedService<C, S>;

    fn layer(&self, service: S) -> Self::Service {
        CheckedService(self.0.clone(), service)
    }
}

impl<C, S, B, R> Service<Request<B>> for CheckedService<C, S>
where
    C: Check,
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = CheckedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.0.check(&mut request) {
            Ok(()) => CheckedFuture { inner: Some(self.1.call(request)), status: StatusCode::OK },
            Err(status) => CheckedFuture { inner: None, status },
        }
    }
}

pin_project! {
    /// The future of [`CheckedService`].
    #[derive(Debug)]
    pub struct CheckedFuture<F> {
        #[pin]
        inner: Option<F>,
        status: StatusCode,
    }
}

impl<F, R, E> Future for CheckedFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(inner) = this.inner.as_pin_mut() {
            return inner.poll(cx);
        }
        let mut response = Response::new(R::default());
        *response.status_mut() = *this.status;
        Poll::Ready(Ok(response))
    }
}
