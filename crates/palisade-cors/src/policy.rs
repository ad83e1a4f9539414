use std::sync::Arc;

use foldhash::HashSet;
use http::{HeaderMap, HeaderName, HeaderValue, header, request, response};
use palisade_core::{Decision, Policy, PolicyLayer, vary_by};

use crate::{CorsBuilder, allowlist::Allowlist, preflight, request_headers::RequestHeaders};

/// What an allowlist makes every response depend on.
pub(crate) static ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// The CORS policy: answers preflights, and says on all other responses which origin may read them.
///
/// Follows the server's part of the [CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol). Cloning it is
/// one reference count.
///
/// | request | from a listed origin | from any other |
/// | --- | --- | --- |
/// | preflight (OPTIONS with `Origin` and `Access-Control-Request-Method`) | 204, or 403 if it asks for more than is listed | 403 with no CORS headers |
/// | everything else, plain OPTIONS included | the service's response, with CORS headers | the service's response, without |
///
/// A preflight never reaches the service. A list of origins puts `Vary: Origin` on every response, requests without
/// an `Origin` and refused ones included, because a cache that does not know would hand one origin's answer to
/// another; this holds for a list of one as well. [`CorsBuilder::any_origin`] answers everybody alike and does not
/// vary. CORS headers that the service wrote itself are taken off: there is one place that decides.
///
/// ```
/// use http::{HeaderValue, Request, Response, header};
/// use palisade_core::{Decision, Policy};
/// use palisade_cors::Cors;
///
/// let cors = Cors::allow_origins(["https://app.example.com"]).build()?;
///
/// let (request, ()) =
///     Request::get("/").header(header::ORIGIN, "https://app.example.com").body(()).unwrap().into_parts();
/// let Decision::Now(Ok(grant)) = cors.decide(&request) else { panic!("not a preflight") };
///
/// let (mut response, ()) = Response::new(()).into_parts();
/// cors.finish(grant, &mut response);
/// assert_eq!(response.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
/// assert_eq!(response.headers[header::VARY], "Origin");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cors {
    rules: Arc<Rules>,
}

/// All that a response may say, as it is written on the wire.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) origins: Allowlist,
    pub(crate) methods: HashSet<HeaderValue>,
    pub(crate) request_headers: RequestHeaders,
    pub(crate) exposed: Option<HeaderValue>,
    pub(crate) credentials: bool,
    pub(crate) max_age: Option<HeaderValue>,
}

impl Cors {
    /// Starts with nothing allowed: name the origins next.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder().allow_origin("https://app.example.com").build()?;
    /// assert!(Cors::builder().build().is_err(), "no origin is allowed");
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn builder() -> CorsBuilder {
        CorsBuilder::new()
    }

    /// Starts with these origins. Short for `Cors::builder().allow_origins(...)`.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).allow_credentials(true).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_origins<I>(origins: I) -> CorsBuilder
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        CorsBuilder::new().allow_origins(origins)
    }

    /// A tower layer of this policy.
    ///
    /// ```
    /// use palisade_cors::Cors;
    /// use tower::ServiceBuilder;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).build()?;
    /// let stack = ServiceBuilder::new().layer(cors.layer());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules: Arc::new(rules) }
    }

    #[cfg(test)]
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// Which origin the response to a request may be read by, if any: what [`Cors`] decides and then writes.
///
/// ```
/// use palisade_core::Policy;
/// use palisade_cors::{Cors, CorsGrant};
///
/// fn same<P: Policy<Grant = CorsGrant>>(policy: P) -> P { policy }
/// let cors = same(Cors::allow_origins(["https://app.example.com"]).build()?);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct CorsGrant {
    allow_origin: Option<HeaderValue>,
}

impl Policy for Cors {
    type Grant = CorsGrant;

    #[inline]
    fn decide(&self, request: &request::Parts) -> Decision<CorsGrant> {
        if preflight::is_preflight(request) {
            return Decision::reply(preflight::answer(&self.rules, &request.headers));
        }
        Decision::grant(CorsGrant { allow_origin: self.rules.origins.answer_to(&request.headers) })
    }

    #[inline]
    fn finish(&self, grant: CorsGrant, response: &mut response::Parts) {
        let headers = &mut response.headers;
        take_off_cors_headers(headers);
        if self.rules.origins.varies() {
            vary_by(headers, &ORIGIN);
        }
        let Some(origin) = grant.allow_origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.rules.credentials {
            // Fetch, CORS check: the byte sequence `true`, nothing like it.
            let allowed = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
        if let Some(exposed) = &self.rules.exposed {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

/// Looking at the names that are there beats seven lookups of names that hardly ever are.
#[inline]
fn take_off_cors_headers(response: &mut HeaderMap) {
    if response.keys().any(is_cors_header) {
        take_off(response);
    }
}

#[cold]
fn take_off(response: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        response.keys().filter(|name| is_cors_header(name)).cloned().collect();
    for name in names {
        response.remove(name);
    }
}

fn is_cors_header(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, Response};

    use super::*;

    /// What the response to a GET from these origins says, after the service wrote `headers`.
    fn finished(cors: &Cors, origins: &[&str], headers: &[(&'static str, &str)]) -> HeaderMap {
        let mut request = Request::builder().method(Method::GET);
        for origin in origins {
            request = request.header(header::ORIGIN, *origin);
        }
        let (request, ()) = request.body(()).unwrap().into_parts();
        let Decision::Now(Ok(grant)) = cors.decide(&request) else {
            panic!("only a preflight is answered by the policy")
        };
        let (mut response, ()) = Response::new(()).into_parts();
        for (name, value) in headers {
            response.headers.append(*name, value.parse().unwrap());
        }
        cors.finish(grant, &mut response);
        response.headers
    }

    fn pairs(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        pairs.sort_unstable();
        pairs
    }

    const APP: &str = "https://app.example.com";
    const EXPOSED: &str =
        "Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-Id";

    fn listed() -> CorsBuilder {
        Cors::allow_origins([APP, "https://admin.example.com"])
    }

    #[test]
    fn a_listed_origin_may_read_the_response() {
        let cors = listed().build().unwrap();
        assert_eq!(
            pairs(&finished(&cors, &[APP], &[])),
            [
                ("access-control-allow-origin", APP),
                ("access-control-expose-headers", EXPOSED),
                ("vary", "Origin"),
            ]
        );
    }

    #[test]
    fn credentials_are_allowed_only_with_a_matched_origin() {
        let cors = listed().allow_credentials(true).build().unwrap();
        let headers = finished(&cors, &[APP], &[]);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        for origins in [&["https://evil.example"] as &[&str], &[], &["null"], &[APP, APP]] {
            let headers = finished(&cors, origins, &[]);
            assert_eq!(pairs(&headers), [("vary", "Origin")], "{origins:?}");
        }
    }

    #[test]
    fn an_allowlist_of_one_varies_too() {
        let cors = Cors::allow_origins([APP]).build().unwrap();
        assert_eq!(pairs(&finished(&cors, &[], &[])), [("vary", "Origin")]);
    }

    #[test]
    fn any_origin_is_told_the_same_and_does_not_vary() {
        let cors = Cors::builder().any_origin().build().unwrap();
        for origins in [&[] as &[&str], &[APP], &["https://evil.example"], &["null"]] {
            assert_eq!(
                pairs(&finished(&cors, origins, &[])),
                [("access-control-allow-origin", "*"), ("access-control-expose-headers", EXPOSED)],
                "{origins:?}"
            );
        }
    }

    #[test]
    fn cors_headers_of_the_service_are_taken_off_and_its_vary_is_kept() {
        let cors = listed().expose_headers(["ETag"]).build().unwrap();
        let inner = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-origin", "https://evil.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-secret"),
            ("access-control-allow-private-network", "true"),
            ("content-type", "text/plain"),
            ("vary", "accept-encoding, origin"),
        ];
        assert_eq!(
            pairs(&finished(&cors, &[APP], &inner)),
            [
                ("access-control-allow-origin", APP),
                ("access-control-expose-headers", "ETag"),
                ("content-type", "text/plain"),
                ("vary", "accept-encoding, origin"),
            ]
        );
        assert_eq!(
            pairs(&finished(&cors, &["https://evil.example"], &inner)),
            [("content-type", "text/plain"), ("vary", "accept-encoding, origin")]
        );
    }

    #[test]
    fn nothing_is_exposed_when_nothing_is_to_be() {
        let cors = listed().expose_headers([""; 0]).build().unwrap();
        let headers = finished(&cors, &[APP], &[]);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_EXPOSE_HEADERS));
    }

    #[test]
    fn a_plain_options_is_not_answered_by_the_policy() {
        let cors = listed().build().unwrap();
        let (request, ()) =
            Request::options("/").header(header::ORIGIN, APP).body(()).unwrap().into_parts();
        assert!(matches!(cors.decide(&request), Decision::Now(Ok(_))));
    }
}
