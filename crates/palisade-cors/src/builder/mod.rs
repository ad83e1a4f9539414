mod checks;
mod modes;
mod requests;

use std::{future::Future, time::Duration};

use http::{Method, StatusCode};
use palisade_core::{BoxError, ConfigError, Origin};

use crate::{Cors, LookupLimits, lookup::AskOrigin, predicate::Predicate};

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
    lookup: Option<AskOrigin>,
    lookup_limits: Option<LookupLimits>,
    static_origin: bool,
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

/// Headers that pages need to handle a rejection, and can only read if they are exposed.
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
            lookup_limits: None,
            static_origin: false,
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
    /// It matches exactly: no subdomains, no other port, no other scheme. A `*` is possible in two places:
    ///
    /// | written | allows | but not |
    /// | --- | --- | --- |
    /// | `https://*.example.com` | `https://a.example.com`, `https://b.a.example.com` | `https://example.com`, `http://a.example.com`, `https://a.example.com:8443` |
    /// | `http://localhost:*` | `http://localhost`, `http://localhost:3000` | `https://localhost`, `http://127.0.0.1:3000` |
    /// | `https://*.example.com:*` | both | |
    ///
    /// An origin of another scheme, such as that of a browser extension (`chrome-extension://…`) or an app
    /// (`capacitor://localhost`, `tauri://localhost`, `vscode-webview://…`), is listed exactly, without a `*`.
    ///
    /// A pattern for subdomains trusts the pages of all their owners. Below a [public suffix](https://publicsuffix.org) such as
    /// `github.io` any developer can host pages, so such a pattern is an error.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder()
    ///     .allow_origin("https://app.example.com")
    ///     .allow_origin("https://*.previews.example.com")
    ///     .allow_origin("http://localhost:*")
    ///     .allow_origin("chrome-extension://knldjmfmopnpolahpmmgbagdohdnhkik")
    ///     .build()?;
    ///
    /// let error = Cors::builder().allow_origin("https://*.github.io").build().unwrap_err();
    /// assert!(error.to_string().contains("any person can register a name below `github.io`"));
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_origin(mut self, origin: impl AsRef<str>) -> Self {
        self.origins.push(origin.as_ref().to_owned());
        self
    }

    /// Adds each of these, as [`allow_origin`](Self::allow_origin) does.
    pub fn allow_origins<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.origins.extend(owned(origins));
        self
    }

    /// Allows pages of all origins, including `null`, with `Access-Control-Allow-Origin: *` on every response.
    ///
    /// For public resources. It cannot be combined with
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

    /// Allows origins for which `predicate` returns true, such as tenants' domains in memory. May be called several times.
    ///
    /// The predicate is called for well-formed origins that are not listed, but not for `null`. With credentials it is not
    /// called for plain http, except on this machine. Compare the whole host, because `https://evilexample.com` ends with
    /// `example.com` too, and the scheme, because extensions and apps have other schemes with any host.
    pub fn allow_origin_if(
        mut self,
        predicate: impl Fn(&Origin<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.predicates.push(Predicate::new(predicate));
        self
    }

    /// Allows origins that a database or another service contains. Replaces an earlier lookup.
    ///
    /// The lookup is called last, for the same origins as [a predicate](Self::allow_origin_if). Its results are cached, and
    /// [limits](Self::lookup_limits) bound the lookups for invented origins. If the lookup fails, takes longer than 1 s or
    /// exceeds a limit, no page may read the response: preflights, and in [strict](Self::strict) mode all requests, are
    /// rejected with 503; other requests are served without CORS headers. It needs a tokio runtime with time enabled.
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
        self.lookup = Some(AskOrigin::new(lookup));
        self
    }

    /// Limits the lookup. Default: [`LookupLimits::default`].
    ///
    /// ```
    /// use palisade_cors::{Cors, LookupLimits};
    ///
    /// let cors = Cors::builder()
    ///     .allow_origin_lookup(|origin| async move { Ok::<_, std::io::Error>(origin == "https://shop.example") })
    ///     .lookup_limits(LookupLimits::default().concurrency(8))
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn lookup_limits(mut self, limits: LookupLimits) -> Self {
        self.lookup_limits = Some(limits);
        self
    }

    /// Allows pages whose origin is `null`: any page can get that origin by a sandboxed frame. Cannot be combined with
    /// credentials or [private networks](Self::allow_private_network).
    pub fn insecure_allow_null(mut self) -> Self {
        self.null = true;
        self
    }

    /// Accepts a `*` below a public suffix (`https://*.github.io`), where any person can register a name. Cannot be combined
    /// with credentials.
    pub fn insecure_allow_public_suffixes(mut self) -> Self {
        self.public_suffixes = true;
        self
    }

    /// Sends the single listed origin in all responses, also to requests without an `Origin` or of other origins, without
    /// `Vary: Origin`, so that caches store one response for all ([Fetch, CORS protocol and HTTP
    /// caches](https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches)).
    ///
    /// Browsers compare it with the page's origin, so pages of other origins cannot read the response. Requires exactly one
    /// origin without a `*`, and no credentials.
    pub fn static_origin(mut self) -> Self {
        self.static_origin = true;
        self
    }

    /// Checks the configuration, and prepares the headers.
    ///
    /// # Errors
    ///
    /// If an origin, method, header or age is not valid for browsers, or if a combination of settings is insecure. The error
    /// contains the setting, the value and the remedy.
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
