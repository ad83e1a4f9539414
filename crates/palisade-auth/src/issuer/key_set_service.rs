use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tower_service::Service;

use super::token_issuer::TokenIssuer;

/// Publishes the keys of a [`TokenIssuer`] as a JWK set. Made by [`TokenIssuer::key_set_service`].
///
/// Answers GET and HEAD with `Cache-Control: public, max-age=300`, and other methods with 405.
///
/// ```
/// use http::{Request, header};
/// use palisade_auth::{Algorithm, SigningKey, TokenIssuer};
/// use tower::ServiceExt;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let key = SigningKey::secret(Algorithm::Hs256, "a signing key of at least thirty-two bytes")?;
/// let issuer = TokenIssuer::new("https://login.example.com", key).audience("orders").build()?;
/// let response = issuer.key_set_service().oneshot(Request::new(())).await?;
/// assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=300");
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeySetService {
    issuer: TokenIssuer,
    cache_control: HeaderValue,
}

impl TokenIssuer {
    /// Returns a service that publishes the [key set](Self::key_set) with `Cache-Control`, for a route such as
    /// `/.well-known/jwks.json`.
    pub fn key_set_service(&self) -> KeySetService {
        let seconds = self.settings().cache_keys_for.as_secs();
        let cache_control = HeaderValue::try_from(format!("public, max-age={seconds}"))
            .unwrap_or(HeaderValue::from_static("no-cache"));
        KeySetService { issuer: self.clone(), cache_control }
    }
}

impl<B> Service<Request<B>> for KeySetService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::default());
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return ready(Ok(response));
        }
        let json = Bytes::from(self.issuer.key_set().to_string());
        let headers = response.headers_mut();
        // RFC 7517, section 8.5.2
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        headers.insert(header::CACHE_CONTROL, self.cache_control.clone());
        headers.insert(header::CONTENT_LENGTH, json.len().into());
        if request.method() == Method::GET {
            *response.body_mut() = Full::new(json);
        }
        ready(Ok(response))
    }
}
