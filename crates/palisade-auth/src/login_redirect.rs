use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request, response};
use palisade_core::{ApiError, ConfigError, Decision, Halt, Policy, requested_uri};

use crate::{Attempt, Authenticate, Identity, authenticate};

/// An authentication that sends browsers to a login page; see [`Authenticate::login_redirect`].
///
/// A GET that accepts `text/html` and is rejected with 401 gets 303 to the page, with the path it asked for in the query
/// parameter `return_to`. That is always a path of this origin, and the whole path also under axum's `Router::nest`
/// (feature `axum`). Every other request gets the 401. The page passes the parameter through [`return_to`] before it
/// redirects.
#[derive(Clone, Debug)]
pub struct LoginRedirect<A> {
    authenticate: A,
    page: Box<str>,
}

impl<A: Authenticate> LoginRedirect<A> {
    pub(crate) fn new(authenticate: A, page: &str) -> Result<Self, ConfigError> {
        if !is_own_path(page) || page.contains(['#', '?']) {
            return Err(ConfigError::new(
                "login_redirect",
                page.escape_debug(),
                "write the path of a page of this origin, such as /login",
            ));
        }
        Ok(Self { authenticate, page: page.into() })
    }

    /// The way to the login page, for a person with a browser.
    fn redirect(&self, request: &request::Parts) -> Option<Response<bytes::Bytes>> {
        if !wants_a_page(request) {
            return None;
        }
        let wanted = requested_uri(request).path_and_query().map_or("/", |path| path.as_str());
        // `//evil.example` and `/\evil.example` would be other origins to a browser that follows the way back.
        let wanted: String =
            form_urlencoded::byte_serialize(return_to(wanted).as_bytes()).collect();
        let location = HeaderValue::try_from(format!("{}?return_to={wanted}", self.page)).ok()?;
        let mut response = Response::new(bytes::Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        response.headers_mut().insert(header::LOCATION, location);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }
}

/// Returns the path to return to after a login if it leads to a page of this origin, or `/`.
///
/// A login page is given the path in its query, where a link on any other site can write anything: to redirect to
/// `//evil.example` or `https://evil.example` would lend the attacker's page the trust in this one.
///
/// ```
/// use palisade_auth::return_to;
///
/// assert_eq!(return_to("/orders?page=2"), "/orders?page=2");
/// for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example", ""] {
///     assert_eq!(return_to(elsewhere), "/");
/// }
/// ```
pub fn return_to(path: &str) -> &str {
    if is_own_path(path) { path } else { "/" }
}

/// A path that leads nowhere but to where it is read: one slash, then neither a slash nor a backslash.
fn is_own_path(path: &str) -> bool {
    let mut bytes = path.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && path.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'\\')
}

/// Replaces a 401 by the redirect. The redirect is created only for rejected requests.
fn halt(error: ApiError, redirect: impl FnOnce() -> Option<Response<bytes::Bytes>>) -> Halt {
    if error.status() != StatusCode::UNAUTHORIZED {
        return Halt::Refuse(error);
    }
    redirect().map_or(Halt::Refuse(error), |redirect| Halt::Reply(Box::new(redirect)))
}

/// A person with a browser, who asks for a page.
fn wants_a_page(request: &request::Parts) -> bool {
    request.method == Method::GET && accepts_html(&request.headers)
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let html = parts.next().is_some_and(|range| range.eq_ignore_ascii_case("text/html"));
        html && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

impl<A: Authenticate> Policy for LoginRedirect<A> {
    type Grant = Option<Identity<A::Claims>>;

    fn decide(&self, request: &request::Parts) -> Decision<Self::Grant> {
        let refused = |error| halt(error, || self.redirect(request));
        match self.authenticate.authenticate(request) {
            Attempt::Absent(error) => Decision::Now(Err(refused(error))),
            Attempt::Now(outcome) => Decision::Now(outcome.map(Some).map_err(refused)),
            Attempt::Later(pending) => {
                // The request is not there any more when the answer is.
                let redirect = self.redirect(request);
                Decision::later(async move {
                    pending.outcome().await.map(Some).map_err(|error| halt(error, || redirect))
                })
            }
        }
    }

    fn admit(&self, identity: &mut Self::Grant, request: &mut request::Parts) {
        authenticate::admit(&self.authenticate, identity, request);
    }

    fn finish(&self, identity: Self::Grant, response: &mut response::Parts) {
        authenticate::finish(&self.authenticate, identity, response);
    }

    fn prepare(&self, request: &mut request::Parts) {
        crate::sender::prepare(request);
    }
}
