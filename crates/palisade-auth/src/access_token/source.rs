use http::{HeaderMap, HeaderName, HeaderValue, header, request};
use palisade_core::{ConfigError, remove_header, syntax::is_token};

use crate::{authorization::Authorization, cookies::CookieNamed};

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
pub(super) enum FoundTokens<'a> {
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
        let remedy = match self {
            Self::Cookie(_) => {
                "choose a name of letters, digits and hyphens, such as `__Host-token`"
            }
            Self::Authorization(_) => "name a scheme, such as `Token`",
            Self::WebSocketProtocol(_) => {
                "choose a prefix of letters, digits, hyphens and dots, such as `bearer.`"
            }
            Self::Header(_) | Self::Query(_) => return Ok(()),
        };
        let (setting, name) = self.setting();
        if is_token(name) {
            Ok(())
        } else {
            Err(ConfigError::new(setting, name.escape_debug(), remedy))
        }
    }

    /// Returns true if both are the same place. A scheme has no case (RFC 9110, section 11.1).
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Authorization(a), Self::Authorization(b)) => a.eq_ignore_ascii_case(b),
            _ => self == other,
        }
    }

    /// Returns true if a token in one of the places is also found in the other one, so that the request has two.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(_), _) | (_, Self::Header(_)) => self.field() == other.field(),
            (Self::WebSocketProtocol(a), Self::WebSocketProtocol(b)) => {
                a.starts_with(b) || b.starts_with(a)
            }
            _ => false,
        }
    }

    pub(super) fn overlap_error(&self, other: &Self) -> ConfigError {
        let (setting, value) = self.setting();
        let remedy =
            format!("a token there is also found by `{}`: leave one out", other.setting().0);
        ConfigError::new(setting, value.escape_debug(), remedy)
    }

    /// Returns an error for the scheme of DPoP, whose tokens need a proof.
    pub(super) fn check_beside_dpop(&self) -> Result<(), ConfigError> {
        let remedy = "`.dpop(…)` accepts this scheme, with a proof; leave it out here";
        match self {
            Self::Authorization(scheme) if scheme.eq_ignore_ascii_case("DPoP") => {
                Err(ConfigError::new("token_in_authorization", scheme, remedy))
            }
            Self::Header(name) if *name == header::AUTHORIZATION => {
                Err(ConfigError::new("token_in_header", name, remedy))
            }
            _ => Ok(()),
        }
    }

    /// Returns the name of the setting that adds this place, and its value.
    fn setting(&self) -> (&'static str, &str) {
        match self {
            Self::Authorization(scheme) => ("token_in_authorization", scheme),
            Self::Cookie(name) => ("token_in_cookie", name),
            Self::Header(name) => ("token_in_header", name.as_str()),
            Self::Query(name) => ("insecure_token_in_query", name),
            Self::WebSocketProtocol(prefix) => ("token_in_websocket_protocol", prefix),
        }
    }

    fn look<'a>(&self, request: &'a request::Parts) -> FoundTokens<'a> {
        match self {
            Self::Authorization(scheme) => match Authorization::read(&request.headers, scheme) {
                Authorization::Absent => FoundTokens::Nothing,
                Authorization::Two => FoundTokens::Several,
                Authorization::Credentials(token) => FoundTokens::Token(token),
            },
            Self::Cookie(name) => match CookieNamed::read(&request.headers, name) {
                CookieNamed::Absent => FoundTokens::Nothing,
                CookieNamed::Two => FoundTokens::Several,
                CookieNamed::Value(token) => FoundTokens::CookieToken(token),
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
        remove_header(&mut request.headers, &header::SEC_WEBSOCKET_PROTOCOL);
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

fn only<'a>(first: Option<&'a [u8]>, second: Option<&'a [u8]>) -> FoundTokens<'a> {
    match (first, second) {
        (None, _) => FoundTokens::Nothing,
        (Some(token), None) => FoundTokens::Token(token),
        (Some(_), Some(_)) => FoundTokens::Several,
    }
}

/// Looks for a token in all places. A request may have one token, in one of them.
pub(super) fn find<'a>(sources: &[TokenSource], request: &'a request::Parts) -> FoundTokens<'a> {
    let mut found = FoundTokens::Nothing;
    for source in sources {
        match (&found, source.look(request)) {
            (_, FoundTokens::Nothing) => {}
            (FoundTokens::Nothing, here) => found = here,
            (_, _) => return FoundTokens::Several,
        }
    }
    found
}
