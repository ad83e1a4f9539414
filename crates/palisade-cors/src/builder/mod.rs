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
            lookup_limits: None,
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
    /// An origin of another scheme, such as that of a browser extension (`chrome-extension://…`) or an app
    /// (`capacitor://localhost`, `tauri://localhost`, `vscode-webview://…`), is listed exactly, without a `*`.
    ///
    /// All subdomains include pages that other people can host on one of them. Below a
    /// [public suffix](https://publicsuffix.org) such as `github.io` any developer can, so such a pattern is an error.
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
    /// It is asked about origins that are not listed, and sees only origins that are written as browsers write them, never
    /// `null`. With credentials it is not asked about plain http, except on this machine. It should compare the whole
    /// host, because `https://evilexample.com` ends with `example.com` too, and the scheme: extensions and apps have
    /// schemes of their own, with hosts of their choice.
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

    /// Asks a database or another service about origins. Replaces an earlier lookup.
    ///
    /// It is asked last, about the same origins as [a predicate](Self::allow_origin_if), and within
    /// [limits](Self::lookup_limits): its answers are remembered, and a client that makes origins up is not allowed many
    /// lookups. If the lookup fails, takes longer than 1 s or is not asked because of a limit, no page may read the
    /// response: a preflight, and in [strict](Self::strict) mode every request, is rejected with 503; other requests are
    /// served without CORS headers. It needs a tokio runtime with time.
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
