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
.about("A browser sent a cookie along, and does not say that a page of this site made it do so.");

/// Refuses what a page of another site made a browser send.
///
/// A browser adds cookies by itself to whatever a page asks it to send, so a cookie says who is at the browser and
/// not that they meant it. The browser also says where a request comes from, in fields that no page can write. This
/// check reads them; it needs no token in forms and no state. Authentication by cookie turns it on by itself; as a
/// policy it guards what needs it before there is a cookie, such as a login.
///
/// Requests with a safe method pass (GET, HEAD, OPTIONS, TRACE, and QUERY), so a GET must not change anything; the
/// handshake of a WebSocket is a GET and does not. Every other request passes if
///
/// - `Sec-Fetch-Site` is `same-origin` or `none` (the user typed or clicked it), or
/// - `Origin` is listed with [`trust_origin`](CsrfCheckBuilder::trust_origin), or
/// - there is no `Sec-Fetch-Site` (a browser of before 2023, or a page on plain http) and `Origin` has host and port of
///   the request itself.
///
/// All others get 403 with code `CSRF`, and so does a request that has neither field: it comes from no browser that can
/// be trusted to tell, and yet had a cookie. The type of the content plays no part, for pages can send more types than
/// forms can.
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
    /// Lets pages of the own origin send, and no other.
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
        log_rejection!("a request was refused: no page of ours sent it");
        Err(CSRF.into())
    }

    fn comes_from_a_page_of_ours(&self, request: &request::Parts) -> bool {
        let origin = Field::read(&request.headers, "origin");
        match Field::read(&request.headers, "sec-fetch-site") {
            Field::Is("same-origin" | "none") => true,
            // The browser compared with more than we can see (the scheme, the redirects on the way), so what would
            // look like our own origin is none here, and only one that is listed helps.
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
    /// Lets pages of this origin send requests with the user's cookies. Write it as browsers do,
    /// `https://app.example.com`. May be called more than once.
    ///
    /// The own origin needs to be listed only where a proxy changes `Host`.
    #[must_use]
    pub fn trust_origin(mut self, origin: impl Into<String>) -> Self {
        self.trusted.push(origin.into());
        self
    }

    /// Lets pass what has neither `Sec-Fetch-Site` nor `Origin`: programs that keep a cookie, and with them browsers
    /// of before 2020, whose users any page can then speak for.
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
                let remedy =
                    "list https origins only; on plain http anybody on the way can be that page";
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
        // What follows the handshake is anything but safe, and no other rule of the browser keeps pages from it. Over
        // HTTP/2 the handshake is a CONNECT, which is not safe to begin with.
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

/// The host and port that the client asked for. What stands in the target comes before `Host` (RFC 9112, section
/// 3.2.2; RFC 9113, section 8.3.1).
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
