use http::{HeaderName, HeaderValue, header, request};

use crate::{authorization::Authorization, cookies::CookieNamed};

/// Where a token may be in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenSource {
    /// `Authorization: Bearer`.
    Bearer,
    /// A cookie of this name. The browser sends it whoever wrote the page.
    Cookie(String),
    /// A header field of its own, which holds the token and nothing else.
    Header(HeaderName),
    /// A parameter of the query, which ends up in logs and in histories.
    Query(String),
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
            Self::Bearer => Some(header::AUTHORIZATION),
            Self::Cookie(_) => Some(header::COOKIE),
            Self::Header(name) => Some(name.clone()),
            Self::Query(_) => None,
        }
    }

    fn look<'a>(&self, request: &'a request::Parts) -> Found<'a> {
        match self {
            Self::Bearer => match Authorization::read(&request.headers, "Bearer") {
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
        }
    }
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
