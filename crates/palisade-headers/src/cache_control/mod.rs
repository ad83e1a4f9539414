//! What caches may keep.

mod builder;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header, request, response};
use palisade_core::{
    AnsweredByPolicy, ApiError, Decision, Personal, Policy, PolicyLayer, Principal, vary_by,
};

use crate::{CspNonce, security_headers::HasNonce};

pub use builder::CacheControlBuilder;

/// Says what caches may keep, where the service does not say it: `Cache-Control`
/// ([RFC 9111, section 5.2](https://www.rfc-editor.org/rfc/rfc9111#section-5.2)).
///
/// The first row that fits holds:
///
/// | response | `Cache-Control` |
/// | --- | --- |
/// | the service wrote `Cache-Control` or `Expires` | the service's own |
/// | an error, a refusal, or another answer that a policy made | `no-store` |
/// | to a method other than GET and HEAD | `no-store` |
/// | with `Set-Cookie`, or to a request with credentials | `private, no-store`, or what is declared if only private caches may keep it |
/// | all others, 304 among them | what is declared, or nothing |
///
/// A request has credentials if it has `Authorization`, or if an authentication left a [`Principal`], whichever scheme it
/// uses and whether it stands outside of this layer or inside ([`Personal`]). A value for shared caches is not written to
/// their responses: it would let a shared cache give one caller's response to another (RFC 9111, section 3.5). To share
/// them takes [`insecure_share_authenticated`](CacheControlBuilder::insecure_share_authenticated). The responses to all
/// other requests get `Vary: Authorization`, so that no cache gives them to a caller with credentials.
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
/// [`CacheControl::new`], outside of everything that may refuse, for the whole service; another one with what is
/// declared around a route. The inner one has written its value by then, and the outer one leaves it alone.
#[derive(Clone, Debug)]
pub struct CacheControl(Arc<Rules>);

/// What is written, as it is on the wire.
#[derive(Debug, Default)]
struct Rules {
    declared: Option<Declared>,
}

#[derive(Debug)]
struct Declared {
    value: HeaderValue,
    kept_by: Keepers,
}

/// Which caches a declared value lets keep a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keepers {
    /// The caller's own, or none.
    Private,
    /// Those between, for callers without credentials.
    Shared,
    /// Those between, whoever asks.
    SharedForAll,
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const PRIVATE_NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");
static AUTHORIZATION: HeaderValue = HeaderValue::from_static("Authorization");

impl CacheControl {
    /// Declares nothing: what is good to keep is the service's to say, and what is not to be kept says so.
    ///
    /// ```
    /// use palisade_headers::CacheControl;
    ///
    /// let layer = CacheControl::new().layer();
    /// ```
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

    /// Nobody keeps it ([RFC 9111, section 5.2.2.5](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.5)).
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

/// What [`CacheControl`] needs to know of the request.
#[derive(Clone, Copy, Debug)]
pub struct CacheControlGrant {
    /// RFC 9110, section 9.2.3. POST is cacheable in theory, with conditions that no service keeps by accident.
    by_cacheable_method: bool,
    with_credentials: bool,
}

impl Policy for CacheControl {
    type Grant = CacheControlGrant;

    /// It does not decide who may come in.
    fn abstains(_: &Self::Grant) -> bool {
        true
    }

    fn decide(&self, request: &request::Parts) -> Decision<CacheControlGrant> {
        Decision::grant(CacheControlGrant {
            by_cacheable_method: matches!(request.method, Method::GET | Method::HEAD),
            with_credentials: request.headers.contains_key(header::AUTHORIZATION)
                || request.extensions.get::<Principal>().is_some()
                || request.extensions.get::<CspNonce>().is_some(),
        })
    }

    fn finish(&self, asked: CacheControlGrant, response: &mut response::Parts) {
        let headers = &response.headers;
        // RFC 9111, section 5.3: a `max-age` of ours would take the place of the service's `Expires`.
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
                Some(Declared { kept_by: Keepers::Shared, .. }) if is_personal => PRIVATE_NO_STORE,
                Some(Declared { kept_by: Keepers::Shared, value }) => {
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

/// Errors; and what a policy answered, which over gRPC is a 200.
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
