use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header, request};
use palisade_core::{
    ApiError, ConfigError, Decision, ErrorCode, GrpcCode, Origin, Policy, PolicyLayer,
};

pub(crate) const CSRF: ErrorCode = ErrorCode::new(
    "CSRF",
    StatusCode::FORBIDDEN,
    GrpcCode::PermissionDenied,
    "the request does not come from a page of this site",
)
.about("A browser sent a cookie with it, and neither `Sec-Fetch-Site` nor `Origin` says that a page of this site made the request.");

/// Rejects requests that a page of another site made a browser send (CSRF).
///
/// A browser adds cookies to all requests of a page, so a cookie proves who uses the browser, but not that the user intended
/// the request. The browser also sends the origin of a request in fields that pages cannot write. This check reads these
/// fields; it needs no token in forms and no state. Authentication by cookie enables it automatically. Use it as a policy where
/// a request needs it before there is a cookie, such as a login.
///
/// Requests with a safe method are allowed (GET, HEAD, OPTIONS, TRACE and QUERY), so a GET must not change anything. The
/// handshake of a WebSocket is checked although it is a GET. All other requests are allowed if
///
/// - `Sec-Fetch-Site` is `same-origin` or `none` (the user typed or clicked it), or
/// - `Origin` is listed with [`trust_origin`](CsrfCheckBuilder::trust_origin), or
/// - `Sec-Fetch-Site` is missing (browsers before 2023, and pages over plain http) and `Origin` has the host and port of the
///   request.
///
/// All others get 403 with the code `CSRF`, also requests without both fields, because no current browser sends them. The
/// content type is not considered, because pages can send more types than forms.
///
/// ```
/// use http::Request;
/// use palisade_auth::CsrfCheck;
///
/// let check = CsrfCheck::builder().trust_origin("https://app.example.com").build()?;
///
/// let from = |origin: &str| Request::post("/orders").header("host", "api.example.com").header("origin", origin);
/// let answer = |request: http::request::Builder| check.check(&request.body(()).unwrap().into_parts().0);
///
/// assert!(answer(from("https://api.example.com")).is_ok());
/// assert!(answer(from("https://app.example.com")).is_ok());
/// assert_eq!(answer(from("https://evil.example")).unwrap_err().code(), "CSRF");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CsrfCheck {
    trusted: Arc<[Box<str>]>,
    without_origin: bool,
}

impl CsrfCheck {
    /// Creates a check that allows only pages of the service's own origin.
    pub fn new() -> Self {
        Self::default()
    }

    /// A check that trusts others too.
    pub fn builder() -> CsrfCheckBuilder {
        CsrfCheckBuilder::default()
    }

    /// This check as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    /// Looks at where a request with a cookie comes from. For an authentication of your own.
    ///
    /// # Errors
    ///
    /// 403 with code `CSRF`.
    pub fn check(&self, request: &request::Parts) -> Result<(), ApiError> {
        if changes_nothing(request) || self.comes_from_a_page_of_ours(request) {
            return Ok(());
        }
        log_rejection!("a request was rejected: it does not come from a page of this site");
        Err(CSRF.into())
    }

    fn comes_from_a_page_of_ours(&self, request: &request::Parts) -> bool {
        let origin = Field::read(&request.headers, "origin");
        match Field::read(&request.headers, "sec-fetch-site") {
            Field::Is("same-origin" | "none") => true,
            // The browser has compared more than is visible here (the scheme, redirects), so an `Origin` that looks like the
            // own origin is not accepted, only a listed one.
            Field::Is(_) | Field::Unclear => origin.is_one_of(&self.trusted),
            Field::Absent => match origin {
                Field::Absent => self.without_origin,
                Field::Unclear => false,
                Field::Is(name) => {
                    origin.is_one_of(&self.trusted)
                        || own_host(request).is_some_and(|host| is_of_host(name, host))
                }
            },
        }
    }
}

impl Policy for CsrfCheck {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        self.check(request).into()
    }
}

/// The settings of a [`CsrfCheck`]. Made by [`CsrfCheck::builder`].
#[derive(Clone, Debug, Default)]
pub struct CsrfCheckBuilder {
    trusted: Vec<String>,
    without_origin: bool,
}

impl CsrfCheckBuilder {
    /// Allows pages of this origin to send requests with the user's cookies. Written as browsers do: `https://app.example.com`.
    /// May be called several times.
    ///
    /// List the own origin only if a proxy changes `Host`.
    #[must_use]
    pub fn trust_origin(mut self, origin: impl Into<String>) -> Self {
        self.trusted.push(origin.into());
        self
    }

    /// Allows requests with neither `Sec-Fetch-Site` nor `Origin`, for programs that store a cookie. Users of browsers from
    /// before 2020 are not protected then.
    #[must_use]
    pub fn insecure_allow_without_origin(mut self) -> Self {
        self.without_origin = true;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// For an origin that is not written as browsers write it, or is plain http and not this machine.
    pub fn build(self) -> Result<CsrfCheck, ConfigError> {
        for text in &self.trusted {
            let wrong =
                |remedy: String| ConfigError::new("trust_origin", text.escape_debug(), remedy);
            let origin = Origin::parse(text).map_err(|error| wrong(error.to_string()))?;
            if origin.is_forgeable() {
                let remedy = "list https origins only: an attacker on the network can forge a page of an http origin";
                return Err(wrong(remedy.to_owned()));
            }
        }
        let trusted = self.trusted.into_iter().map(Into::into).collect();
        Ok(CsrfCheck { trusted, without_origin: self.without_origin })
    }
}

/// A header field that ought to be there once at most.
#[derive(Clone, Copy)]
enum Field<'a> {
    Absent,
    /// There twice, or not text.
    Unclear,
    Is(&'a str),
}

impl<'a> Field<'a> {
    fn read(headers: &'a HeaderMap, name: &str) -> Self {
        let mut fields = headers.get_all(name).iter();
        match (fields.next(), fields.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => value.to_str().map_or(Self::Unclear, Self::Is),
            (Some(_), Some(_)) => Self::Unclear,
        }
    }

    fn is_one_of(&self, origins: &[Box<str>]) -> bool {
        matches!(self, Self::Is(value) if origins.iter().any(|origin| **origin == **value))
    }
}

/// Safe methods (RFC 9110, section 9.2.1; QUERY is safe by its own draft).
fn changes_nothing(request: &request::Parts) -> bool {
    match request.method {
        // The connection after the handshake is not safe, and the same-origin policy of browsers does not cover it. Over HTTP/2
        // the handshake is a CONNECT, which is not a safe method.
        Method::GET => !opens_a_websocket(&request.headers),
        Method::HEAD | Method::OPTIONS | Method::TRACE => true,
        _ => request.method.as_str() == "QUERY",
    }
}

fn opens_a_websocket(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(header::UPGRADE).iter();
    protocols
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

fn is_of_host(origin: &str, host: &str) -> bool {
    Origin::parse(origin).is_ok_and(|origin| origin.is_of_host(host))
}

/// Returns the host and port of the request. The target has precedence over `Host` (RFC 9112, section 3.2.2; RFC 9113, section
/// 8.3.1).
fn own_host(request: &request::Parts) -> Option<&str> {
    if let Some(authority) = request.uri.authority() {
        return Some(authority.as_str());
    }
    match Field::read(&request.headers, "host") {
        Field::Is(host) => Some(host),
        Field::Absent | Field::Unclear => None,
    }
}

#[cfg(test)]
mod tests;
