use http::{HeaderMap, HeaderName, HeaderValue, header, request};

use crate::{authorization::Authorization, cookies::CookieNamed};

/// Where a token may be in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenSource {
    /// `Authorization`, with this scheme.
    Authorization(String),
    /// A cookie of this name. The browser sends it whoever wrote the page.
    Cookie(String),
    /// A header field of its own, which holds the token and nothing else.
    Header(HeaderName),
    /// A parameter of the query, which ends up in logs and in histories.
    Query(String),
    /// An entry of `Sec-WebSocket-Protocol` that begins with this.
    WebSocketProtocol(String),
}

/// What was found in all places together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Nothing,
    /// More than one token, or one in more than one place: not even the first one counts.
    Several,
    /// Whose form is still to be checked.
    Token(&'a [u8]),
    /// The same, out of a cookie.
    CookieToken(&'a [u8]),
}

impl TokenSource {
    /// The field that it is in, if it is in one.
    pub(super) fn field(&self) -> Option<HeaderName> {
        match self {
            Self::Authorization(_) => Some(header::AUTHORIZATION),
            Self::Cookie(_) => Some(header::COOKIE),
            Self::Header(name) => Some(name.clone()),
            Self::Query(_) => None,
            Self::WebSocketProtocol(_) => Some(header::SEC_WEBSOCKET_PROTOCOL),
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
            request.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
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

/// Looks in all places: a request has one token, in one of them.
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
