use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use foldhash::HashSet;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request, response};
use palisade_core::{
    ApiError, BoxError, Decision, ErrorCode, GrpcCode, Halt, Origin, Policy, PolicyLayer,
    is_preflight, vary_by,
};

use crate::{
    CorsBuilder, CorsHandle,
    allowlist::{Allowlist, Verdict, sole_value},
    paths::{Paths, Rule},
    preflight::Preflight,
    refusal::Refusal,
    request_headers::RequestHeaders,
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
/// A preflight never reaches the service. A list of origins puts `Vary: Origin` on every response, requests without
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

/// All that a response may say, as it is written on the wire.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) origins: Allowlist,
    pub(crate) methods: Methods,
    pub(crate) request_headers: RequestHeaders,
    pub(crate) exposed: Option<HeaderValue>,
    pub(crate) credentials: bool,
    pub(crate) max_age: Option<HeaderValue>,
    pub(crate) private_network: bool,
    pub(crate) granted: StatusCode,
    pub(crate) refused: StatusCode,
    pub(crate) vary_of_preflights: Option<HeaderValue>,
    pub(crate) strict: bool,
    pub(crate) debug: bool,
    pub(crate) keeps_service_headers: bool,
    pub(crate) paths: Paths,
    /// Said once, and again by the next configuration.
    pub(crate) warned_of_authorization: AtomicBool,
}

/// The methods that pages may use.
#[derive(Debug)]
pub(crate) enum Methods {
    Any,
    Listed(HashSet<HeaderValue>),
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
    allowed: Option<(HeaderValue, Arc<Rules>)>,
    varies: bool,
    keeps_service_headers: bool,
    /// In debug mode.
    told: Option<Refusal>,
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
        match rules.paths.rule(request.uri.path()) {
            Rule::Default => decide_by(&rules, request),
            // Its own paths are not asked: a handle could make it one of them.
            Rule::Other(cors) => decide_by(&cors.rules.load(), request),
            Rule::Ambiguous => rules.refuse(Refusal::AmbiguousPath, request),
        }
    }

    #[inline]
    fn finish(&self, grant: CorsGrant, response: &mut response::Parts) {
        let headers = &mut response.headers;
        if grant.varies {
            vary_by(headers, &ORIGIN);
        }
        if grant.keeps_service_headers && headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        {
            return;
        }
        take_off_cors_headers(headers);
        if let Some(refusal) = grant.told {
            headers.insert(REFUSED.clone(), HeaderValue::from_static(refusal.as_str()));
        }
        let Some((origin, rules)) = grant.allowed else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if rules.credentials {
            // Fetch, CORS check: the byte sequence `true`, nothing like it.
            let allowed = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
        if let Some(exposed) = &rules.exposed {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        if response.status == StatusCode::UNAUTHORIZED {
            rules.warn_if_authorization_cannot_be_sent(&response.headers);
        }
    }
}

impl CorsGrant {
    fn to(origin: HeaderValue, rules: &Arc<Rules>) -> Self {
        Self { allowed: Some((origin, Arc::clone(rules))), ..rules.grant(None) }
    }
}

impl Rules {
    /// Lets pass without a word to any origin.
    fn grant(&self, told: Option<Refusal>) -> CorsGrant {
        CorsGrant {
            allowed: None,
            varies: self.origins.varies(),
            keeps_service_headers: self.keeps_service_headers,
            told,
        }
    }

    /// A page of this origin may not read. The service runs all the same, unless in strict mode: CORS keeps nobody
    /// out, and other clients may send an `Origin` too.
    #[cold]
    fn refuse(&self, refusal: Refusal, request: &request::Parts) -> Decision<CorsGrant> {
        if is_preflight(request) {
            return Decision::reply(Preflight::of(&request.headers).refused(self, refusal));
        }
        self.refuse_actual(refusal, &request.headers).into()
    }

    fn refuse_actual(&self, refusal: Refusal, request: &HeaderMap) -> Result<CorsGrant, Halt> {
        if request.contains_key(header::ORIGIN) {
            self.log("request", refusal, request);
        } else if refusal == Refusal::AmbiguousPath {
            return Ok(self.grant(None));
        }
        let told = self.debug.then_some(refusal);
        if !self.strict {
            return Ok(self.grant(told));
        }
        let mut error = ApiError::from(ORIGIN_NOT_ALLOWED);
        if self.origins.varies() {
            error = error.with_header(header::VARY, ORIGIN.clone());
        }
        if let Some(refusal) = told {
            let reason = HeaderValue::from_static(refusal.as_str());
            error = error.with_header(REFUSED.clone(), reason);
        }
        Err(error.into())
    }

    /// Who knows the origins could not be asked. Nobody may read then, and strict mode lets nobody in.
    fn could_not_tell(&self, cause: BoxError) -> ApiError {
        let error = ApiError::unavailable().with_source(cause);
        if self.origins.varies() { error.with_header(header::VARY, ORIGIN.clone()) } else { error }
    }

    /// A page is asked for what it may not send. Nobody finds that in a 401, so it is said, once: whoever wrote the list
    /// of headers did not think of the authentication, and the two cannot see each other when they are built.
    #[cold]
    fn warn_if_authorization_cannot_be_sent(&self, response: &HeaderMap) {
        let asks = response.get_all(header::WWW_AUTHENTICATE).iter().any(|challenge| {
            let scheme = challenge.as_bytes().split(|byte| *byte == b' ').next();
            let schemes = ["bearer", "basic", "dpop"];
            scheme
                .is_some_and(|sent| schemes.iter().any(|s| sent.eq_ignore_ascii_case(s.as_bytes())))
        });
        if asks
            && !self.request_headers.include_authorization()
            && !self.warned_of_authorization.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                target: "palisade::cors",
                "a page was answered 401 and asked for an Authorization that it may not send; \
                 add it: allow_headers([\"Authorization\", ...])"
            );
        }
    }

    /// One line for each refusal, with what the client sent, cut where it gets long.
    pub(crate) fn log(&self, what: &str, reason: Refusal, request: &HeaderMap) {
        let origin = Shown(request.get(header::ORIGIN));
        let method = Shown(request.get(header::ACCESS_CONTROL_REQUEST_METHOD));
        let headers = Shown(request.get(header::ACCESS_CONTROL_REQUEST_HEADERS));
        if self.debug {
            tracing::warn!(target: "palisade::cors", %reason, ?origin, ?method, ?headers, "CORS {what} refused");
        } else {
            tracing::debug!(target: "palisade::cors", %reason, ?origin, ?method, ?headers, "CORS {what} refused");
        }
    }
}

#[inline]
fn decide_by(rules: &Arc<Rules>, request: &request::Parts) -> Decision<CorsGrant> {
    if is_preflight(request) {
        return answer_preflight(rules, &request.headers);
    }
    match rules.origins.judge(&request.headers) {
        Verdict::NoOrigin => Decision::grant(rules.grant(None)),
        Verdict::Allowed(origin) => Decision::grant(CorsGrant::to(origin, rules)),
        Verdict::Refused => rules.refuse(Refusal::Origin, request),
        Verdict::Unknown => look_up(Arc::clone(rules), &request.headers),
    }
}

#[cold]
fn answer_preflight(rules: &Arc<Rules>, request: &HeaderMap) -> Decision<CorsGrant> {
    let preflight = Preflight::of(request);
    // A preflight that does not come from exactly one origin is malformed, also where any origin will do.
    if sole_value(request, header::ORIGIN).is_none() {
        return Decision::reply(preflight.refused(rules, Refusal::Origin));
    }
    let verdict = match rules.origins.judge(request) {
        // What everybody is told is not what everybody may.
        Verdict::Allowed(told) if matches!(rules.origins, Allowlist::Only(_)) => {
            if request.get(header::ORIGIN) == Some(&told) {
                Verdict::Allowed(told)
            } else {
                Verdict::Refused
            }
        }
        verdict => verdict,
    };
    match verdict {
        Verdict::Allowed(origin) => Decision::reply(preflight.answered(rules, origin)),
        Verdict::NoOrigin | Verdict::Refused => {
            Decision::reply(preflight.refused(rules, Refusal::Origin))
        }
        Verdict::Unknown => look_up_preflight(Arc::clone(rules), request),
    }
}

/// The origin of this request is asked about elsewhere. Rules and headers go along: no later configuration answers.
#[cold]
fn look_up(rules: Arc<Rules>, request: &HeaderMap) -> Decision<CorsGrant> {
    let request = request.clone();
    let answer = ask(&rules, &request);
    Decision::later(async move {
        match answer.await {
            Ok(Some(origin)) => Ok(CorsGrant::to(origin, &rules)),
            Ok(None) => rules.refuse_actual(Refusal::Origin, &request),
            Err(error) if rules.strict => Err(rules.could_not_tell(error).into()),
            Err(error) => {
                tracing::warn!(target: "palisade::cors", error, "an origin could not be looked up");
                Ok(rules.grant(None))
            }
        }
    })
}

#[cold]
fn look_up_preflight(rules: Arc<Rules>, request: &HeaderMap) -> Decision<CorsGrant> {
    let request = request.clone();
    let answer = ask(&rules, &request);
    Decision::later(async move {
        let preflight = Preflight::of(&request);
        Err(match answer.await {
            Ok(Some(origin)) => Halt::Reply(Box::new(preflight.answered(&rules, origin))),
            Ok(None) => Halt::Reply(Box::new(preflight.refused(&rules, Refusal::Origin))),
            Err(error) => rules.could_not_tell(error).into(),
        })
    })
}

fn ask(
    rules: &Rules,
    request: &HeaderMap,
) -> impl Future<Output = Result<Option<HeaderValue>, BoxError>> + Send + use<> {
    let sent = sole_value(request, header::ORIGIN).cloned();
    let answer = sent.as_ref().and_then(Origin::from_header).and_then(|origin| {
        let lookup = rules.origins.lookup()?;
        Some(lookup.ask(&origin))
    });
    async move {
        match answer {
            Some(answer) => Ok(if answer.await? { sent } else { None }),
            None => Ok(None),
        }
    }
}

/// What a client sent, for the log: a line of it, escaped.
struct Shown<'a>(Option<&'a HeaderValue>);

const SHOWN_BYTES: usize = 256;

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(value) = self.0 else { return f.write_str("none") };
        let bytes = value.as_bytes();
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if shown.len() < bytes.len() { f.write_str("...") } else { Ok(()) }
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
