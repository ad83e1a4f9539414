//! `Cache-Control` on responses.

mod builder;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header, request, response};
use palisade_core::{
    Allowed, AnsweredByPolicy, ApiError, Decision, Personal, Policy, PolicyLayer, Principal,
    vary_by,
};

use crate::{CspNonce, security_headers::HasNonce};

pub use builder::CacheControlBuilder;

/// Writes `Cache-Control` on responses without it ([RFC 9111, section
/// 5.2](https://www.rfc-editor.org/rfc/rfc9111#section-5.2)).
///
/// The first row that matches applies:
///
/// | response | `Cache-Control` |
/// | --- | --- |
/// | the service wrote `Cache-Control` or `Expires` | the service's own |
/// | an error, a rejection, or another response of a policy | `no-store` |
/// | to a method other than GET and HEAD | `no-store` |
/// | with `Set-Cookie`, or to a request with credentials | `private, no-store`, or the declared value if it is for private caches |
/// | all others, including 304 | the declared value, or nothing |
///
/// A request has credentials if it has `Authorization`, or if any outer or inner authentication has set a [`Principal`]
/// ([`Personal`]). A declared value for shared caches is not written to such responses, because a shared cache could serve one
/// caller's response to another (RFC 9111, section 3.5); use
/// [`insecure_share_authenticated`](CacheControlBuilder::insecure_share_authenticated) to do so. Responses to all other
/// requests get `Vary: Authorization`, so that caches do not serve them to callers with credentials.
///
/// ```
/// use std::time::Duration;
/// use http::{Request, Response};
/// use palisade_headers::CacheControl;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let minute = Duration::from_secs(60);
/// let cache = CacheControl::public().max_age(minute).stale_while_revalidate(minute).build()?;
/// let service = cache.layer().layer(service_fn(async |request: Request<String>| {
///     let status = if request.uri().path() == "/orders" { 200 } else { 404 };
///     Ok::<_, std::convert::Infallible>(Response::builder().status(status).body(String::new()).unwrap())
/// }));
/// let ask = async |request: http::request::Builder| {
///     let response = service.clone().oneshot(request.body(String::new()).unwrap()).await.unwrap();
///     response.headers()["cache-control"].clone()
/// };
///
/// assert_eq!(ask(Request::get("/orders")).await, "public, max-age=60, stale-while-revalidate=60");
/// assert_eq!(ask(Request::get("/nowhere")).await, "no-store");
/// assert_eq!(ask(Request::get("/orders").header("authorization", "Bearer x")).await, "private, no-store");
/// # Ok(()) })
/// # }
/// ```
///
/// # Where it goes
///
/// Place [`CacheControl::new`] outside all policies that may reject, for the whole service, and another one with a declared
/// value around a route. The outer one does not change the value of the inner one.
#[derive(Clone, Debug)]
pub struct CacheControl(Arc<Rules>);

/// The prepared header values.
#[derive(Debug, Default)]
struct Rules {
    declared: Option<Declared>,
}

#[derive(Debug)]
struct Declared {
    value: HeaderValue,
    kept_by: CacheScope,
}

/// The caches that may store a response by the declared value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CacheScope {
    /// The caller's own, or none.
    Private,
    /// Shared caches, for callers without credentials.
    Shared,
    /// Shared caches, for all callers.
    SharedForAll,
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const PRIVATE_NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");
static AUTHORIZATION: HeaderValue = HeaderValue::from_static("Authorization");

impl CacheControl {
    /// Creates a policy without a declared value: it only marks the responses that must not be stored.
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Any cache may keep it ([RFC 9111, section 5.2.2.9](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.9)). For
    /// how long is the next thing to say.
    pub fn public() -> CacheControlBuilder {
        CacheControlBuilder::default().public()
    }

    /// Only the caller's own cache may keep it
    /// ([RFC 9111, section 5.2.2.7](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.7)).
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_headers::CacheControl;
    ///
    /// let profile = CacheControl::private().max_age(Duration::from_secs(30)).build()?;
    /// assert!(CacheControl::private().s_maxage(Duration::from_secs(30)).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn private() -> CacheControlBuilder {
        CacheControlBuilder::default().private()
    }

    /// Caches may keep it, and ask each time whether it is still right
    /// ([RFC 9111, section 5.2.2.4](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.4)).
    pub fn no_cache() -> CacheControlBuilder {
        CacheControlBuilder::default().no_cache()
    }

    /// Declares that no cache may store responses ([RFC 9111, section
    /// 5.2.2.5](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.5)).
    pub fn no_store() -> CacheControlBuilder {
        CacheControlBuilder::default().no_store()
    }

    /// A tower layer of this policy.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

impl Default for CacheControl {
    fn default() -> Self {
        Self::new()
    }
}

/// The properties of the request that [`CacheControl`] needs for the response.
#[derive(Clone, Copy, Debug)]
pub struct CacheControlGrant {
    /// RFC 9110, section 9.2.3. POST is cacheable in theory, with conditions that no service keeps by accident.
    by_cacheable_method: bool,
    with_credentials: bool,
}

impl Policy for CacheControl {
    type Grant = CacheControlGrant;

    fn allowed(_: &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, request: &request::Parts) -> Decision<CacheControlGrant> {
        Decision::grant(CacheControlGrant {
            by_cacheable_method: matches!(request.method, Method::GET | Method::HEAD),
            with_credentials: request.headers.contains_key(header::AUTHORIZATION)
                || request.extensions.get::<Principal>().is_some()
                || request.extensions.get::<CspNonce>().is_some(),
        })
    }

    fn admit(&self, _: &mut CacheControlGrant, request: &mut request::Parts) {
        Personal::enable(&mut request.extensions);
    }

    fn finish(&self, asked: CacheControlGrant, response: &mut response::Parts) {
        let headers = &response.headers;
        // `max-age` would override the service's `Expires` (RFC 9111, section 5.3).
        let is_said =
            Personal::has_own_cache_control(response) || headers.contains_key(header::EXPIRES);
        if is_said || response.status.is_informational() {
            return;
        }
        let value = if is_failure(response) || !asked.by_cacheable_method {
            NO_STORE
        } else {
            let is_personal = asked.with_credentials
                || response.extensions.get::<Personal>().is_some()
                || response.extensions.get::<HasNonce>().is_some()
                || headers.contains_key(header::SET_COOKIE);
            match &self.0.declared {
                Some(Declared { kept_by: CacheScope::Shared, .. }) if is_personal => {
                    PRIVATE_NO_STORE
                }
                Some(Declared { kept_by: CacheScope::Shared, value }) => {
                    vary_by(&mut response.headers, &AUTHORIZATION);
                    value.clone()
                }
                Some(Declared { value, .. }) => value.clone(),
                None if is_personal => PRIVATE_NO_STORE,
                None => return,
            }
        };
        write(&mut response.headers, value);
    }
}

/// Returns true for errors and for responses of policies, which over gRPC have status 200.
fn is_failure(response: &response::Parts) -> bool {
    response.status.is_client_error()
        || response.status.is_server_error()
        || response.extensions.get::<AnsweredByPolicy>().is_some()
        || response.extensions.get::<ApiError>().is_some()
}

fn write(headers: &mut HeaderMap, value: HeaderValue) {
    // A map that is full stays unchanged.
    let _ = headers.try_insert(header::CACHE_CONTROL, value);
}

#[cfg(test)]
mod tests;
