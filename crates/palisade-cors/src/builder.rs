use std::time::Duration;

use foldhash::HashSet;
use http::{HeaderValue, Method};
use palisade_core::{ConfigError, Origin};

use crate::{Cors, allowlist::Allowlist, headers, policy::Rules, request_headers::RequestHeaders};

/// What browsers allow without being told
/// ([Fetch, CORS-safelisted method](https://fetch.spec.whatwg.org/#cors-safelisted-method)).
const SAFELISTED_METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

/// What pages need to make sense of a refusal, and do not get to see unless it is exposed.
const EXPOSED: [&str; 5] =
    ["Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate", "X-Request-Id"];

/// A day: where Firefox caps it. Chromium caps it at two hours.
const MAX_AGE: Duration = Duration::from_secs(86_400);

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
    methods: Vec<Method>,
    request_headers: Vec<String>,
    exposed: Vec<String>,
    credentials: bool,
    max_age: Option<Duration>,
}

impl CorsBuilder {
    pub(crate) fn new() -> Self {
        Self {
            origins: Vec::new(),
            any_origin: false,
            methods: Vec::new(),
            request_headers: vec!["content-type".to_owned()],
            exposed: EXPOSED.map(str::to_owned).to_vec(),
            credentials: false,
            max_age: None,
        }
    }

    /// Adds an origin, written as browsers send it: scheme and host in lower case, a port if it is not the scheme's
    /// default, and nothing else
    /// ([HTML, serialisation of an origin](https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin)).
    ///
    /// It matches itself, byte for byte, and nothing else: no subdomain, no other port, not http for https.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder()
    ///     .allow_origin("https://app.example.com")
    ///     .allow_origin("http://localhost:3000")
    ///     .build()?;
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
        self.methods = methods.into_iter().collect();
        self
    }

    /// The request headers that pages may set, in upper or lower case. Replaces the list; the default is
    /// `content-type`, which is what JSON takes.
    ///
    /// The few [CORS-safelisted headers](https://fetch.spec.whatwg.org/#cors-safelisted-request-header) need not be
    /// listed. `Authorization` must be, if pages send it.
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
        let methods: HashSet<HeaderValue> = SAFELISTED_METHODS
            .iter()
            .chain(&self.methods)
            .map(headers::method)
            .collect::<Result<_, _>>()?;
        let request_headers: Vec<_> = self
            .request_headers
            .iter()
            .map(|name| headers::request_header(name))
            .collect::<Result<_, _>>()?;
        Ok(Cors::new(Rules {
            origins: self.allowlist()?,
            methods,
            request_headers: RequestHeaders::new(request_headers),
            exposed: headers::exposed(&self.exposed, self.credentials)?,
            credentials: self.credentials,
            max_age: self.max_age.map(max_age).transpose()?,
        }))
    }

    fn allowlist(&self) -> Result<Allowlist, ConfigError> {
        match (self.any_origin, self.origins.first()) {
            (true, Some(listed)) => Err(ConfigError::new(
                "allow_origin",
                listed,
                "leave it out, or any_origin(), which includes it",
            )),
            (true, None) if self.credentials => Err(ConfigError::new(
                "allow_credentials",
                true,
                "list the origins instead of any_origin(); no browser sends credentials to `*`",
            )),
            (true, None) => Ok(Allowlist::Any),
            (false, None) => Err(ConfigError::without_value(
                "allow_origins",
                "the list is empty; name at least one origin, or call any_origin()",
            )),
            (false, Some(_)) => {
                let origins = self.origins.iter().map(|origin| self.listed(origin));
                Ok(Allowlist::Listed(origins.collect::<Result<_, _>>()?))
            }
        }
    }

    fn listed(&self, text: &str) -> Result<HeaderValue, ConfigError> {
        let wrong = |remedy: String| ConfigError::new("allow_origin", text, remedy);
        if text == "*" {
            return Err(wrong("call any_origin() to let every origin read".to_owned()));
        }
        let origin = Origin::parse(text).map_err(|error| wrong(error.to_string()))?;
        if self.credentials && origin.is_forgeable() {
            return Err(wrong(
                "serve it over https, or leave out allow_credentials(); \
                 whoever sits on the network can forge a page of an http origin"
                    .to_owned(),
            ));
        }
        HeaderValue::from_str(text).map_err(|error| wrong(error.to_string()))
    }
}

fn owned(texts: impl IntoIterator<Item: AsRef<str>>) -> impl Iterator<Item = String> {
    texts.into_iter().map(|text| text.as_ref().to_owned())
}

fn max_age(age: Duration) -> Result<HeaderValue, ConfigError> {
    if age > MAX_AGE {
        let value = format!("{age:?}");
        let remedy = "take 86400 seconds at most; browsers remember nothing longer";
        return Err(ConfigError::new("max_age", value, remedy));
    }
    Ok(HeaderValue::from(age.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> CorsBuilder {
        Cors::allow_origins(["https://app.example.com"])
    }

    #[test]
    fn a_configuration_that_cannot_be_right_does_not_build() {
        let table: &[(&str, CorsBuilder, &str)] = &[
            ("no origin", Cors::builder(), "allow_origins is not valid: the list is empty"),
            ("an empty list", Cors::allow_origins([""; 0]), "allow_origins is not valid"),
            ("an empty origin", Cors::allow_origins([""]), "allow_origin `` is"),
            ("a star", app().allow_origin("*"), "any_origin()"),
            ("null", app().allow_origin("null"), "allow_origin `null`"),
            ("the second is wrong", app().allow_origin("https://b.com/"), "`https://b.com/`"),
            ("any and listed", app().any_origin(), "`https://app.example.com`"),
            (
                "any with credentials",
                Cors::builder().any_origin().allow_credentials(true),
                "allow_credentials `true`",
            ),
            (
                "credentials over http",
                Cors::allow_origins(["http://app.example.com"]).allow_credentials(true),
                "allow_origin `http://app.example.com` is not valid: serve it over https",
            ),
            (
                "all exposed with credentials",
                app().expose_headers(["*"]).allow_credentials(true),
                "expose_headers `*`",
            ),
            ("too long", app().max_age(Duration::from_secs(86_401)), "max_age `86401s`"),
            ("a trace", app().allow_methods([Method::TRACE]), "allow_methods `TRACE`"),
            ("not a token", app().allow_headers(["x trace"]), "allow_headers `x trace`"),
            ("a cookie", app().allow_headers(["Cookie"]), "allow_headers `Cookie`"),
        ];
        for (what, builder, expected) in table {
            let error = builder.clone().build().expect_err(what);
            assert!(error.to_string().contains(expected), "{what}: {error}");
        }
    }

    #[test]
    fn the_order_of_the_calls_does_not_matter() {
        assert!(Cors::builder().allow_credentials(true).any_origin().build().is_err());
        assert!(
            Cors::builder().allow_credentials(true).allow_origin("http://b.com").build().is_err()
        );
    }

    #[test]
    fn what_is_harmless_builds() {
        let table: &[(&str, CorsBuilder)] = &[
            ("a list", app().allow_origin("https://b.com")),
            ("an origin twice", app().allow_origin("https://app.example.com")),
            ("plain http", Cors::allow_origins(["http://app.example.com"])),
            (
                "loopback with credentials",
                app().allow_origin("http://localhost:3000").allow_credentials(true),
            ),
            (
                "loopback by address",
                app().allow_origin("http://[::1]:3000").allow_credentials(true),
            ),
            ("all exposed", app().expose_headers(["*"])),
            ("a day", app().max_age(Duration::from_secs(86_400))),
            ("no time", app().max_age(Duration::ZERO)),
            ("no headers", app().allow_headers([""; 0])),
            ("no methods", app().allow_methods([])),
            ("any origin", Cors::builder().any_origin()),
        ];
        for (what, builder) in table {
            assert!(builder.clone().build().is_ok(), "{what}");
        }
    }
}
