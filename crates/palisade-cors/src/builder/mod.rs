mod checks;

use std::{future::Future, time::Duration};

use http::{Method, StatusCode};
use palisade_core::{BoxError, ConfigError, Origin};

use crate::{
    Cors,
    asked::{Lookup, Predicate},
};

/// Makes a [`Cors`]. Every mistake in it is found by [`build`](CorsBuilder::build), not by a browser.
///
/// ```
/// use std::time::Duration;
/// use http::{Method, header};
/// use palisade_cors::Cors;
///
/// let cors = Cors::builder()
///     .allow_origin("https://app.example.com")
///     .allow_methods([Method::PUT, Method::DELETE])
///     .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
///     .allow_credentials(true)
///     .max_age(Duration::from_secs(7200))
///     .build()?;
///
/// let error = Cors::builder().allow_origin("https://app.example.com/").build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "allow_origin `https://app.example.com/` is not valid: \
///      leave out the trailing slash: `https://app.example.com`"
/// );
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct CorsBuilder {
    origins: Vec<String>,
    any_origin: bool,
    null: bool,
    predicates: Vec<Predicate>,
    lookup: Option<Lookup>,
    everyone_alike: bool,
    methods: Option<Vec<Method>>,
    any_method: bool,
    request_headers: Vec<String>,
    any_header: Option<AnyHeader>,
    exposed: Vec<String>,
    grpc_web: bool,
    credentials: bool,
    max_age: Option<Duration>,
    private_network: bool,
    success_status: StatusCode,
    refusal_status: StatusCode,
    preflights_in_caches: bool,
    strict: bool,
    debug: bool,
    keeps_service_headers: bool,
    forgeable_credentials: bool,
    public_suffixes: bool,
    paths: Vec<(String, Cors)>,
}

/// `*` covers every header but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnyHeader {
    Authorization,
    ButAuthorization,
}

/// What pages need to make sense of a refusal, and do not get to see unless it is exposed.
const EXPOSED: [&str; 5] =
    ["Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate", "X-Request-Id"];

impl CorsBuilder {
    pub(crate) fn new() -> Self {
        Self {
            origins: Vec::new(),
            any_origin: false,
            null: false,
            predicates: Vec::new(),
            lookup: None,
            everyone_alike: false,
            methods: None,
            any_method: false,
            request_headers: vec!["content-type".to_owned()],
            any_header: None,
            exposed: EXPOSED.map(str::to_owned).to_vec(),
            grpc_web: false,
            credentials: false,
            max_age: None,
            private_network: false,
            success_status: StatusCode::NO_CONTENT,
            refusal_status: StatusCode::FORBIDDEN,
            preflights_in_caches: false,
            strict: false,
            debug: false,
            keeps_service_headers: false,
            forgeable_credentials: false,
            public_suffixes: false,
            paths: Vec::new(),
        }
    }

    /// Adds an origin, written as browsers send it: scheme and host in lower case, a port if it is not the scheme's
    /// default, and nothing else
    /// ([HTML, serialisation of an origin](https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin)).
    ///
    /// It matches itself, byte for byte, and nothing else: no subdomain, no other port, not http for https. A `*` can
    /// stand in two places:
    ///
    /// | written | lets in | and not |
    /// | --- | --- | --- |
    /// | `https://*.example.com` | `https://a.example.com`, `https://b.a.example.com` | `https://example.com`, `http://a.example.com`, `https://a.example.com:8443` |
    /// | `http://localhost:*` | `http://localhost`, `http://localhost:3000` | `https://localhost`, `http://127.0.0.1:3000` |
    /// | `https://*.example.com:*` | both | |
    ///
    /// Trusting all subdomains is trusting whoever can put a page on one of them. Below a
    /// [public suffix](https://publicsuffix.org) such as `github.io` that is everybody, and an error.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder()
    ///     .allow_origin("https://app.example.com")
    ///     .allow_origin("https://*.previews.example.com")
    ///     .allow_origin("http://localhost:*")
    ///     .build()?;
    ///
    /// let error = Cors::builder().allow_origin("https://*.github.io").build().unwrap_err();
    /// assert!(error.to_string().contains("anybody can have a name below `github.io`"));
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_origin(mut self, origin: impl AsRef<str>) -> Self {
        self.origins.push(origin.as_ref().to_owned());
        self
    }

    /// Adds each of these, as [`allow_origin`](Self::allow_origin) does.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let configured = vec!["https://app.example.com".to_owned(), "https://admin.example.com".to_owned()];
    /// let cors = Cors::builder().allow_origins(configured).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_origins<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.origins.extend(owned(origins));
        self
    }

    /// Lets pages of every origin read, `null` included, with `Access-Control-Allow-Origin: *` on every response.
    ///
    /// For what is public anyway. It cannot be combined with
    /// [credentials](https://fetch.spec.whatwg.org/#cors-protocol-and-credentials), nor with a list of origins.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder().any_origin().build()?;
    /// assert!(Cors::builder().any_origin().allow_credentials(true).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// Lets in what a predicate says: tenants' domains held in memory, say. May be called more than once.
    ///
    /// It is asked about origins that are not listed, and sees nothing but origins: http or https, written as browsers
    /// write them, never `null`. With credentials it is not asked about plain http, save on this machine. What it
    /// compares it should compare whole: the end of a host is also the end of `https://evilexample.com`.
    ///
    /// ```
    /// use std::collections::HashSet;
    /// use palisade_cors::Cors;
    ///
    /// let tenants: HashSet<&str> = ["shop.example", "garden.example"].into();
    /// let cors = Cors::builder()
    ///     .allow_origin_if(move |origin| origin.is_https() && tenants.contains(origin.host()))
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_origin_if(
        mut self,
        predicate: impl Fn(&Origin<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.predicates.push(Predicate::new(predicate));
        self
    }

    /// Lets in what somebody elsewhere says: origins that are kept in a database. Replaces an earlier one.
    ///
    /// It is asked last, about the same origins as [a predicate](Self::allow_origin_if), and once per request: keep
    /// answers that are dear. If it fails, nobody may read: a preflight, and in [strict](Self::strict) mode every
    /// request, gets 503; other requests are served without CORS headers.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// async fn is_customer(origin: &str) -> Result<bool, std::io::Error> {
    ///     Ok(origin == "https://shop.example") // a query, in truth
    /// }
    ///
    /// let cors = Cors::builder()
    ///     .allow_origin("https://app.example.com")
    ///     .allow_origin_lookup(|origin| async move { is_customer(&origin).await })
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_origin_lookup<F, Fut, E>(mut self, lookup: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.lookup = Some(Lookup::new(lookup));
        self
    }

    /// Lets in pages whose origin is `null`: any page, that is, which puts itself into a sandboxed frame. Cannot be
    /// combined with credentials.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).insecure_allow_null().build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn insecure_allow_null(mut self) -> Self {
        self.null = true;
        self
    }

    /// Accepts a `*` below a public suffix (`https://*.github.io`), where anybody can have a name. Cannot be combined
    /// with credentials.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://*.github.io"]).insecure_allow_public_suffixes().build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn insecure_allow_public_suffixes(mut self) -> Self {
        self.public_suffixes = true;
        self
    }

    /// Tells every request the one origin that is listed, those without an `Origin` and those of others included, and
    /// leaves out `Vary: Origin`, so that caches keep one response for all
    /// ([Fetch, CORS protocol and HTTP caches](https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches)).
    ///
    /// Browsers compare it with the page's origin, so no page of another reads anything. It takes exactly one origin
    /// without a `*`, and no credentials.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).tell_everyone_alike().build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn tell_everyone_alike(mut self) -> Self {
        self.everyone_alike = true;
        self
    }

    /// The methods that pages may use. Replaces the list; the default is GET, HEAD and POST.
    ///
    /// GET, HEAD and POST need not be listed, nor can they be refused: browsers let pages use the
    /// [CORS-safelisted methods](https://fetch.spec.whatwg.org/#cors-safelisted-method) without being told. Methods
    /// are case-sensitive.
    ///
    /// ```
    /// use http::Method;
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .allow_methods([Method::PUT, Method::PATCH, Method::DELETE])
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    /// Lets pages use every method, with `Access-Control-Allow-Methods: *`. Cannot be combined with a list, nor with
    /// credentials, where browsers take `*` for a method's name
    /// ([Fetch, `Access-Control-Allow-Methods`](https://fetch.spec.whatwg.org/#http-access-control-allow-methods)).
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder().any_origin().any_method().build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn any_method(mut self) -> Self {
        self.any_method = true;
        self
    }

    /// The request headers that pages may set, in upper or lower case. Replaces the list; the default is
    /// `content-type`, which is what JSON takes.
    ///
    /// The few [CORS-safelisted headers](https://fetch.spec.whatwg.org/#cors-safelisted-request-header) need not be
    /// listed. `Authorization` must be, if pages send it; where a page is answered 401 with a challenge that it cannot
    /// meet, a warning in the log says so.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .allow_headers(["Authorization", "Content-Type", "Idempotency-Key"])
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_headers<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.request_headers = owned(names).collect();
        self
    }

    /// Lets pages set every header, with `Access-Control-Allow-Headers: *`.
    ///
    /// The one header that `*` does not cover is `Authorization`
    /// ([Fetch, CORS non-wildcard request-header name](https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name)).
    /// So it must be listed besides, or left out on purpose with
    /// [`any_header_but_authorization`](Self::any_header_but_authorization). Cannot be combined with credentials, where
    /// browsers take `*` for a header's name.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder().any_origin().any_header().allow_headers(["Authorization"]).build()?;
    /// assert!(Cors::builder().any_origin().any_header().build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn any_header(mut self) -> Self {
        self.any_header = Some(AnyHeader::Authorization);
        self
    }

    /// Lets pages set every header save `Authorization`: what a bare `*` means to browsers.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder().any_origin().any_header_but_authorization().build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn any_header_but_authorization(mut self) -> Self {
        self.any_header = Some(AnyHeader::ButAuthorization);
        self
    }

    /// The response headers that pages may read, beyond the
    /// [CORS-safelisted ones](https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name). Replaces the list;
    /// the default is `Retry-After`, `RateLimit`, `RateLimit-Policy`, `WWW-Authenticate` and `X-Request-Id`, so that
    /// a page can make sense of a refusal.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .expose_headers(["ETag", "Retry-After", "X-Request-Id"])
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn expose_headers<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.exposed = owned(names).collect();
        self
    }

    /// What pages that call [gRPC-web](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md) services need, on
    /// top of what is listed: they may send `x-grpc-web`, `content-type`, `grpc-timeout` and `x-user-agent`, and read
    /// `grpc-status`, `grpc-message` and `grpc-status-details-bin`.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .allow_headers(["Authorization"])
    ///     .grpc_web()
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn grpc_web(mut self) -> Self {
        self.grpc_web = true;
        self
    }

    /// Lets pages of the listed origins read responses to requests with cookies, client certificates or HTTP
    /// authentication ([Fetch, CORS protocol and credentials](https://fetch.spec.whatwg.org/#cors-protocol-and-credentials)).
    /// Off by default.
    ///
    /// A token that a page puts into `Authorization` itself does not need it: list that header instead. With
    /// credentials, an origin must be https, or on the machine itself (`localhost`, `127.0.0.1`, `[::1]`): any other
    /// http page can be forged by whoever sits on the network.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com", "http://localhost:3000"])
    ///     .allow_credentials(true)
    ///     .build()?;
    /// assert!(Cors::allow_origins(["http://app.example.com"]).allow_credentials(true).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_credentials(mut self, allow: bool) -> Self {
        self.credentials = allow;
        self
    }

    /// How long browsers may remember the answer to a preflight, in whole seconds and 24 hours at most. Zero: not at
    /// all. Without it, browsers take 5 seconds
    /// ([Fetch, `Access-Control-Max-Age`](https://fetch.spec.whatwg.org/#http-access-control-max-age)).
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .max_age(Duration::from_secs(7200))
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Accepts plain http origins with credentials. Whoever sits on the network between can then read, as the user,
    /// whatever the user can.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["http://intranet.example.com"])
    ///     .allow_credentials(true)
    ///     .insecure_allow_credentials_over_http()
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn insecure_allow_credentials_over_http(mut self) -> Self {
        self.forgeable_credentials = true;
        self
    }

    /// Answers `Access-Control-Allow-Private-Network: true` to a preflight that asks for it with
    /// `Access-Control-Request-Private-Network: true`. Off by default.
    ///
    /// Private Network Access was never a part of Fetch and is given up: newer browsers ask the user
    /// ([Local Network Access](https://wicg.github.io/local-network-access/)) and not the server. Only for browsers
    /// that still ask, and only for origins that nobody can forge.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).allow_private_network(true).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_private_network(mut self, allow: bool) -> Self {
        self.private_network = allow;
        self
    }

    /// The status of a granted preflight, an [ok status](https://fetch.spec.whatwg.org/#ok-status): 204 unless a proxy
    /// or an old browser wants 200.
    ///
    /// ```
    /// use http::StatusCode;
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).success_status(StatusCode::OK).build()?;
    /// assert!(Cors::allow_origins(["https://b.example"]).success_status(StatusCode::FOUND).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn success_status(mut self, status: StatusCode) -> Self {
        self.success_status = status;
        self
    }

    /// The status of a refused preflight: 403, or 204 where refusals must not count as errors. It has no CORS headers
    /// either way, and that is what refuses.
    ///
    /// ```
    /// use http::StatusCode;
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .refused_preflight_status(StatusCode::NO_CONTENT)
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn refused_preflight_status(mut self, status: StatusCode) -> Self {
        self.refusal_status = status;
        self
    }

    /// Adds to the `Vary` of preflights what their answers depend on besides the origin, for a CDN that caches OPTIONS
    /// although it must not (RFC 9110, section 9.3.7). Browsers keep preflights in a cache of their own, for which
    /// `Vary` means nothing.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).vary_preflights(true).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn vary_preflights(mut self, vary: bool) -> Self {
        self.preflights_in_caches = vary;
        self
    }

    /// Answers 403 with code `ORIGIN_NOT_ALLOWED` to every request whose `Origin` is not listed, before the service
    /// runs. Off by default: a refused page cannot read the response, but the service has run.
    ///
    /// It is what keeps foreign pages from WebSockets, whose handshake
    /// [is not under CORS](https://websockets.spec.whatwg.org/#websocket-opening-handshake): any page may open one, with
    /// the user's cookies, and read. Requests without an `Origin` pass, for they come from no page of another origin.
    /// Browsers send an `Origin` from pages of the service's own origin too, with a POST or a WebSocket: list the own
    /// origin if there are such pages.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com", "https://api.example.com"]).strict(true).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Says why: refusals are logged as warnings, and carry the reason in `X-Cors-Refused`, which the browser's network
    /// panel shows. A preflight from a listed origin that asks for too much keeps the CORS headers it got so far, so that
    /// the console names what was not listed.
    ///
    /// For development. Whoever asks learns what is listed; who may read stays the same.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).debug(cfg!(debug_assertions)).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// Leaves the CORS headers of a response alone if the service has written `Access-Control-Allow-Origin` itself: a
    /// part of it that has its own configuration already. Off by default, and then they are taken off.
    ///
    /// Preflights do not get that far; the answer to them is this policy's.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).keep_service_headers(true).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn keep_service_headers(mut self, keep: bool) -> Self {
        self.keeps_service_headers = keep;
        self
    }

    /// Gives a path, and every path below it, a configuration of its own, which replaces this one there. The longest
    /// path counts. It stays live: what [its handle](Cors::handle) changes, changes here. Paths that it has itself do not
    /// count.
    ///
    /// A router can also have a layer for each route instead; this is for one that stands outside of it, as in a
    /// `stack()`, where refusals of all kinds pass through. Paths are compared as they were sent. One that a router could
    /// read in two ways (`/%61dmin`, `//admin`, `/public/../admin`, `%2F` in it) belongs to no configuration: its
    /// responses have no CORS headers.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let public = Cors::builder().any_origin().build()?;
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .allow_credentials(true)
    ///     .on_path("/public", &public)
    ///     .on_path("/internal", &Cors::same_origin_only())
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn on_path(mut self, path: impl Into<String>, cors: &Cors) -> Self {
        self.paths.push((path.into(), cors.clone()));
        self
    }

    /// Checks everything, and prepares every header.
    ///
    /// # Errors
    ///
    /// Names the setting, the value and what to write instead, for an origin, method, header or age that browsers
    /// would not understand or ever send, and for combinations that would open the service to pages it should not be
    /// open to.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let error = Cors::allow_origins(["https://Example.com"]).build().unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "allow_origin `https://Example.com` is not valid: write the host in lower case, `example.com`"
    /// );
    /// ```
    pub fn build(self) -> Result<Cors, ConfigError> {
        self.rules().map(Cors::new)
    }
}

fn owned(texts: impl IntoIterator<Item: AsRef<str>>) -> impl Iterator<Item = String> {
    texts.into_iter().map(|text| text.as_ref().to_owned())
}

#[cfg(test)]
mod tests;
