use http::{HeaderMap, HeaderName, HeaderValue, header, request};
use palisade_core::ConfigError;

use crate::{
    authorization::Authorization,
    cookies::{CookieNamed, is_cookie_name as is_token},
};

/// Where a token may be in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenSource {
    /// `Authorization`, with this scheme.
    Authorization(String),
    /// A cookie of this name. Browsers send it with the requests of any page.
    Cookie(String),
    /// A header field of its own, which contains the token and nothing else.
    Header(HeaderName),
    /// A parameter of the query, which appears in logs and histories.
    Query(String),
    /// An entry of `Sec-WebSocket-Protocol` that begins with this.
    WebSocketProtocol(String),
}

/// The tokens in all places of a request together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Nothing,
    /// More than one token, or one in more than one place. None of them counts.
    Several,
    /// A token whose syntax has not been checked.
    Token(&'a [u8]),
    /// A token in a cookie, whose syntax has not been checked.
    CookieToken(&'a [u8]),
}

impl TokenSource {
    /// Returns the header field that contains the token; `None` for the query.
    pub(super) fn field(&self) -> Option<HeaderName> {
        match self {
            Self::Authorization(_) => Some(header::AUTHORIZATION),
            Self::Cookie(_) => Some(header::COOKIE),
            Self::Header(name) => Some(name.clone()),
            Self::Query(_) => None,
            Self::WebSocketProtocol(_) => Some(header::SEC_WEBSOCKET_PROTOCOL),
        }
    }

    /// Checks the name of the place.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        // A cookie's name, a scheme and a protocol have the same syntax: `token` (RFC 9110, section 5.6.2).
        let (setting, name, remedy) = match self {
            Self::Cookie(name) => (
                "token_in_cookie",
                name,
                "choose a name of letters, digits and hyphens, such as `__Host-token`",
            ),
            Self::Authorization(scheme) => {
                ("token_in_authorization", scheme, "name a scheme, such as `Token`")
            }
            Self::WebSocketProtocol(prefix) => (
                "token_in_websocket_protocol",
                prefix,
                "choose a prefix of letters, digits, hyphens and dots, such as `bearer.`",
            ),
            Self::Header(_) | Self::Query(_) => return Ok(()),
        };
        if is_token(name) {
            Ok(())
        } else {
            Err(ConfigError::new(setting, name.escape_debug(), remedy))
        }
    }

    fn look<'a>(&self, request: &'a request::Parts) -> Found<'a> {
        match self {
            Self::Authorization(scheme) => match Authorization::read(&request.headers, scheme) {
                Authorization::Absent => Found::Nothing,
                Authorization::Two => Found::Several,
                Authorization::Credentials(token) => Found::Token(token),
            },
            Self::Cookie(name) => match CookieNamed::read(&request.headers, name) {
                CookieNamed::Absent => Found::Nothing,
                CookieNamed::Two => Found::Several,
                CookieNamed::Value(token) => Found::CookieToken(token),
            },
            Self::Header(name) => {
                let mut fields = request.headers.get_all(name).iter().map(HeaderValue::as_bytes);
                only(fields.next(), fields.next())
            }
            Self::Query(name) => {
                let query = request.uri.query().unwrap_or_default();
                let mut values = query.split('&').filter_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (key == name).then_some(value.as_bytes())
                });
                only(values.next(), values.next())
            }
            Self::WebSocketProtocol(prefix) => {
                let mut tokens = protocols(&request.headers)
                    .filter_map(|protocol| protocol.strip_prefix(prefix.as_bytes()));
                only(tokens.next(), tokens.next())
            }
        }
    }

    /// Removes the token from the request if a handler might repeat it: a server answers with one of the protocols that
    /// the client offers (RFC 6455, section 4.2.2), and some take the first.
    pub(super) fn hide_token(&self, request: &mut request::Parts) {
        let Self::WebSocketProtocol(prefix) = self else { return };
        let is_other = |protocol: &&[u8]| !protocol.starts_with(prefix.as_bytes());
        if protocols(&request.headers).all(|protocol| is_other(&protocol)) {
            return;
        }
        let others: Vec<&[u8]> = protocols(&request.headers).filter(is_other).collect();
        let others = HeaderValue::from_bytes(&others.join(&b", "[..])).ok();
        request.headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        if let Some(others) = others.filter(|others| !others.is_empty()) {
            // There is room: the field was removed above.
            let _ = request.headers.try_insert(header::SEC_WEBSOCKET_PROTOCOL, others);
        }
    }
}

/// Returns the protocols that the client of a WebSocket offers (RFC 6455, section 11.3.4).
fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    fields
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|protocol| !protocol.is_empty())
}

fn only<'a>(first: Option<&'a [u8]>, second: Option<&'a [u8]>) -> Found<'a> {
    match (first, second) {
        (None, _) => Found::Nothing,
        (Some(token), None) => Found::Token(token),
        (Some(_), Some(_)) => Found::Several,
    }
}

/// Looks for a token in all places. A request may have one token, in one of them.
pub(super) fn find<'a>(sources: &[TokenSource], request: &'a request::Parts) -> Found<'a> {
    let mut found = Found::Nothing;
    for source in sources {
        match (&found, source.look(request)) {
            (_, Found::Nothing) => {}
            (Found::Nothing, here) => found = here,
            (_, _) => return Found::Several,
        }
    }
    found
}
