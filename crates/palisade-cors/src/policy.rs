use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request, response};
use palisade_core::{
    Decision, ErrorCode, GrpcCode, Policy, PolicyLayer, requested_uri, set_header, vary_by,
};

use crate::{
    CorsBuilder, CorsHandle, decide::decide_by, paths::Rule, refusal::Refusal, rules::Rules,
};

pub(crate) const ORIGIN_NOT_ALLOWED: ErrorCode = ErrorCode::new(
    "ORIGIN_NOT_ALLOWED",
    StatusCode::FORBIDDEN,
    GrpcCode::PermissionDenied,
    "pages of this origin may not send requests here",
)
.about("A browser sent it for a page of an origin that is not listed.");

/// What an allowlist makes every response depend on.
pub(crate) static ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// In debug mode: why pages may not.
pub(crate) static REFUSED: HeaderName = HeaderName::from_static("x-cors-refused");

/// The CORS policy: answers preflights, and says on all other responses which origin may read them.
///
/// Follows the server's part of the [CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol). Cloning it is
/// one reference count.
///
/// | request | from a listed origin | from any other |
/// | --- | --- | --- |
/// | preflight (OPTIONS with `Origin` and `Access-Control-Request-Method`) | 204, or 403 if it asks for more than is listed | 403 with no CORS headers |
/// | everything else, plain OPTIONS included | the service's response, with CORS headers | the service's response, without; 403 if [`strict`](CorsBuilder::strict) |
///
/// A preflight never reaches the service. Any other OPTIONS does, and is the service's to answer: axum's router answers
/// 405, as to any method that a route does not have. A list of origins puts `Vary: Origin` on every response, requests without
/// an `Origin` and refused ones included, because a cache that does not know would hand one origin's answer to
/// another; this holds for a list of one as well, unless [everyone is told alike](CorsBuilder::tell_everyone_alike).
/// [`CorsBuilder::any_origin`] answers everybody alike and does not vary. CORS headers that the service wrote itself
/// are taken off: there is one place that decides.
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
    rules: Arc<ArcSwap<Rules>>,
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

    /// Lets no other origin read: what browsers do without CORS, said on purpose. Preflights are refused, and CORS
    /// headers of the service are taken off.
    ///
    /// For [paths](CorsBuilder::on_path) that no page of another origin has business with.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .on_path("/internal", &Cors::same_origin_only())
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn same_origin_only() -> Self {
        Self::new(CorsBuilder::new().same_origin_only())
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

    /// Replaces the configuration while this policy, and every clone of it, serves.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).build()?;
    /// cors.handle().reconfigure(Cors::allow_origins(["https://app.example.org"]))?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn handle(&self) -> CorsHandle {
        CorsHandle::new(Arc::clone(&self.rules))
    }

    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules: Arc::new(ArcSwap::from_pointee(rules)) }
    }
}

/// Which origin the response to a request may be read by, if any: what [`Cors`] decides and then writes.
///
/// It has all that the response needs, so that a configuration that is replaced meanwhile changes nothing for it.
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
    /// The origin, and the rules that let it in. Without one nothing more is needed of the rules, and a request that
    /// has no origin does not count a reference to them.
    pub(crate) allowed: Option<(HeaderValue, Arc<Rules>)>,
    pub(crate) varies: bool,
    pub(crate) keeps_service_headers: bool,
    /// In debug mode.
    pub(crate) told: Option<Refusal>,
}

impl Policy for Cors {
    type Grant = CorsGrant;

    /// It does not decide who may come in.
    fn abstains(_: &Self::Grant) -> bool {
        true
    }

    #[inline]
    fn decide(&self, request: &request::Parts) -> Decision<CorsGrant> {
        let rules = self.rules.load();
        if rules.paths.is_empty() {
            return decide_by(&rules, request);
        }
        match rules.paths.rule(requested_uri(request).path()) {
            Rule::Default => decide_by(&rules, request),
            // Its own paths are not asked: a handle could make it one of them.
            Rule::Other(cors) => decide_by(&cors.rules.load(), request),
            Rule::Ambiguous => rules.refuse(Refusal::AmbiguousPath, request),
        }
    }

    /// `Vary`, the origin, credentials and exposed headers.
    fn header_fields(&self) -> usize {
        4
    }

    #[inline]
    fn finish(&self, grant: CorsGrant, response: &mut response::Parts) {
        let headers = &mut response.headers;
        let keeps = grant.keeps_service_headers
            && headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        if !keeps {
            take_off_cors_headers(headers);
        }
        // Before the origin: on a response that has room for one header field only, it must not be the origin.
        if grant.varies && !vary_by(headers, &ORIGIN) || keeps {
            return;
        }
        if let Some(refusal) = grant.told {
            set_header(headers, REFUSED.clone(), HeaderValue::from_static(refusal.as_str()));
        }
        let Some((origin, rules)) = grant.allowed else { return };
        set_header(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if rules.credentials {
            // Fetch, CORS check: the byte sequence `true`, nothing like it.
            let allowed = HeaderValue::from_static("true");
            set_header(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
        if let Some(exposed) = &rules.exposed {
            set_header(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        if response.status == StatusCode::UNAUTHORIZED {
            rules.warn_if_authorization_cannot_be_sent(&response.headers);
        }
    }
}

impl CorsGrant {
    pub(crate) fn to(origin: HeaderValue, rules: &Arc<Rules>) -> Self {
        Self { allowed: Some((origin, Arc::clone(rules))), ..rules.grant(None) }
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
