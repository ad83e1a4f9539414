use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request, response};
use palisade_core::{
    Allowed, Decision, Description, Policy, PolicyLayer, requested_uri, set_header, vary_by,
};

use crate::{
    CorsBuilder,
    decide::{decide_by, refuse},
    grant::CorsGrant,
    paths::Rule,
    refusal::{REFUSED, Refusal},
    rules::{ORIGIN, Rules, SharedRules},
};

/// Answers CORS preflights, and writes CORS headers on all other responses.
///
/// Implements the server's half of the [CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol). Clones share one
/// configuration.
///
/// | request | from a listed origin | from any other |
/// | --- | --- | --- |
/// | preflight (OPTIONS with `Origin` and `Access-Control-Request-Method`) | 204, or 403 if it asks for more than is listed | 403 with no CORS headers |
/// | everything else, plain OPTIONS included | the service's response, with CORS headers | the service's response, without; 403 if [`strict`](CorsBuilder::strict) |
///
/// Preflights do not reach the service. Other OPTIONS requests do; axum's router answers them with 405 if a route has no
/// OPTIONS. With a list of origins, every response has `Vary: Origin`, also for requests without an `Origin` and for
/// rejections, because a cache could otherwise serve the response for one origin to another. This also holds for a single
/// origin, unless [all requests get the same header](CorsBuilder::static_origin), and not for
/// [`CorsBuilder::any_origin`]. CORS headers of the service are removed, so that there is a single source of decisions.
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
    pub(crate) rules: SharedRules,
}

impl Cors {
    /// Creates a builder without origins.
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
    pub fn allow_origins<I>(origins: I) -> CorsBuilder
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        CorsBuilder::new().allow_origins(origins)
    }

    /// Creates a policy that allows no other origin, like browsers without CORS. Preflights are rejected, and CORS headers of
    /// the service are removed.
    ///
    /// For [paths](CorsBuilder::on_path) that must not be read by pages of other origins.
    pub fn same_origin_only() -> Self {
        Self::new(CorsBuilder::new().same_origin_only())
    }

    /// A tower layer of this policy.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules: SharedRules::new(rules) }
    }
}

impl Policy for Cors {
    type Grant = CorsGrant;

    fn allowed(_: &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
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
            Rule::Other(rules) => decide_by(&rules.load(), request),
            Rule::Ambiguous => refuse(&rules, Refusal::AmbiguousPath, request),
        }
    }

    /// `Vary`, the origin, credentials and exposed headers.
    fn describe(&self) -> Description {
        Description::of_type::<Self>().header_fields(4)
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
        // Appended, which is cheaper: the service's own have been removed. A map that is full stays unchanged.
        let _ = headers.try_append(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if rules.credentials {
            // The value must be exactly `true` (Fetch, CORS check).
            let allowed = HeaderValue::from_static("true");
            let _ = headers.try_append(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
        if let Some(exposed) = &rules.exposed {
            let _ = headers.try_append(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        if response.status == StatusCode::UNAUTHORIZED {
            rules.warn_if_authorization_cannot_be_sent(&response.headers);
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

    /// Returns the headers of the response to a GET from these origins, if the service wrote `headers`.
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
    fn allowlist_with_one_origin_varies() {
        let cors = Cors::allow_origins([APP]).build().unwrap();
        assert_eq!(pairs(&finished(&cors, &[], &[])), [("vary", "Origin")]);
    }

    #[test]
    fn any_origin_gets_the_same_headers_without_vary() {
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
    fn service_cors_headers_are_removed_and_vary_kept() {
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
    fn empty_expose_list_writes_no_header() {
        let cors = listed().expose_headers([""; 0]).build().unwrap();
        let headers = finished(&cors, &[APP], &[]);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_EXPOSE_HEADERS));
    }

    #[test]
    fn plain_options_request_passes() {
        let cors = listed().build().unwrap();
        let (request, ()) =
            Request::options("/").header(header::ORIGIN, APP).body(()).unwrap().into_parts();
        assert!(matches!(cors.decide(&request), Decision::Now(Ok(_))));
    }
}
