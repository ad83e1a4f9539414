use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName, StatusCode, header, response};
use palisade_core::{
    AnsweredByPolicy, ApiError, DecisionFlag, OneTimeUse, Personal, is_grpc, is_grpc_web,
};

use super::{
    directives::Directives,
    freshness::{Terms, Times, explicit_lifetime, heuristic_lifetime, initial_age},
    targeted,
    vary::{Nominated, nominated},
};

/// Where the lifetime of a response comes from that states none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is not stored, or its lifetime is guessed (section 4.2.2).
    Honour { heuristics: bool },
    /// It is fresh for this long.
    Revalidate(Duration),
    /// It is fresh until it is purged.
    Forever,
}

/// Who shares a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Everyone,
    Tenant,
    Principal,
}

/// What the user allows, of what the RFC allows.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) mode: Mode,
    pub(crate) scope: Scope,
    /// For responses that do not say it themselves.
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) share_authenticated: bool,
    pub(crate) ignore_cookies: bool,
    pub(crate) kept_fields: Vec<HeaderName>,
}

/// What storing depends on, of the request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) headers: HeaderMap,
    /// The entry is kept for one caller or tenant.
    pub(crate) scoped: bool,
    pub(crate) signals: Signals,
}

/// What the layers inside of the cache report about a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    pub(crate) decision: Option<DecisionFlag>,
    one_time: Option<OneTimeUse>,
}

impl Signals {
    pub(crate) fn of_request(extensions: &Extensions) -> Self {
        Self { decision: extensions.get().cloned(), one_time: extensions.get().cloned() }
    }

    /// Returns true if the response contains a value that was made for its request.
    pub(crate) fn is_for_one_request(&self) -> bool {
        self.one_time.as_ref().is_some_and(OneTimeUse::is_recorded)
    }

    /// Returns true if the response may be served without the policies inside.
    pub(crate) fn is_open(&self) -> bool {
        self.decision.as_ref().is_some_and(DecisionFlag::is_open)
    }
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStored {
    Authenticated,
    /// A purge concerns it, it does not fit, or the store failed.
    ByStore,
    Cookie,
    /// The body failed, has trailers, or has another length than it declares.
    Incomplete,
    MadeByPolicy,
    NoLifetime,
    NoStore,
    Nonce,
    Private,
    SetCookie,
    Stale,
    Status,
    /// Of the body.
    TooLong,
    Vary,
}

/// The targeted fields that apply to this cache, the first of which that a response has holds (RFC 9213, section 2.2).
const TARGETED: [HeaderName; 1] = [HeaderName::from_static("cdn-cache-control")];

/// Decides whether a response to a GET request is stored, and for how long it is then of use
/// ([RFC 9111, section 3](https://www.rfc-editor.org/rfc/rfc9111#section-3)).
pub(crate) fn terms_of(
    rules: &Rules,
    asked: &Asked,
    response: &response::Parts,
    times: Times,
) -> Result<(Terms, Nominated, Directives), NotStored> {
    let headers = &response.headers;
    let targeted = TARGETED.iter().find_map(|name| targeted::directives(headers, name));
    let is_targeted = targeted.is_some();
    let directives = match targeted {
        Some(directives) => directives,
        // The engine's default for responses to a principal is not the service's word.
        None if !Personal::has_own_cache_control(response) => Directives::default(),
        None => Directives::of_headers(headers),
    };
    let request = Directives::of_headers(&asked.headers);

    // Section 3: "the response status code is final", and "the cache understands the response status code". Section 5.2.2.3:
    // a cache that understands the status ignores `no-store`, which is for those that do not.
    let status = response.status;
    let is_understood = is_understood(status);
    if is_incomplete(status) {
        return Err(NotStored::Status);
    }
    if directives.must_understand && !is_understood {
        return Err(NotStored::Status);
    }
    if (directives.no_store && !directives.must_understand) || request.no_store {
        return Err(NotStored::NoStore);
    }
    // Section 5.2.2.7. An entry for one caller is a private cache; that of all requests without a caller is not.
    let is_for_one_caller = rules.scope == Scope::Principal && asked.scoped;
    if directives.private && !is_for_one_caller {
        return Err(NotStored::Private);
    }
    // Section 3.5 allows it if the response is `public`. That word is about intermediaries that do not know callers.
    let is_personal = asked.headers.contains_key(header::AUTHORIZATION)
        || response.extensions.get::<Personal>().is_some();
    if is_personal && !asked.scoped && !rules.share_authenticated {
        return Err(NotStored::Authenticated);
    }
    if headers.contains_key(header::SET_COOKIE) || headers.contains_key("set-cookie2") {
        return Err(NotStored::SetCookie);
    }
    // A rejection is an answer to one request; an error contains its id.
    let is_rejection = response.extensions.get::<AnsweredByPolicy>().is_some();
    if is_rejection || response.extensions.get::<ApiError>().is_some() {
        return Err(NotStored::MadeByPolicy);
    }
    if is_grpc(headers) || is_grpc_web(headers) {
        return Err(NotStored::Status);
    }
    if has_nonce(headers) || asked.signals.is_for_one_request() {
        return Err(NotStored::Nonce);
    }
    let nominated = nominated(&asked.headers, headers).ok_or(NotStored::Vary)?;
    // A service may read cookies without saying so. Its word that shared caches may store the response, or that responses
    // depend on cookies, is enough.
    let says_so = is_targeted || directives.is_for_shared_caches();
    let says_so = says_so || nominated.iter().any(|(name, _)| *name == header::COOKIE);
    let may_depend_on_cookies = !says_so && !asked.scoped && !rules.ignore_cookies;
    if may_depend_on_cookies && asked.headers.contains_key(header::COOKIE) {
        return Err(NotStored::Cookie);
    }

    let initial_age = initial_age(headers, times);
    let explicit = explicit_lifetime(&directives, headers, times, !is_targeted);
    let lifetime = match (explicit, rules.mode) {
        (Some(lifetime), _) => lifetime,
        (None, _) if directives.no_cache => Duration::ZERO,
        (None, Mode::Honour { heuristics: true }) => {
            heuristic_lifetime(&directives, status, headers, times).ok_or(NotStored::NoLifetime)?
        }
        (None, Mode::Honour { heuristics: false }) => return Err(NotStored::NoLifetime),
        (None, _) if !is_lasting(status) => return Err(NotStored::Status),
        // It counts from now, however old the response says it is.
        (None, Mode::Revalidate(time)) => time.saturating_add(initial_age),
        (None, Mode::Forever) => FOREVER,
    };
    // Section 5.2.2.10 forbids to serve a response with `s-maxage` stale. The service's own word for that case is stronger.
    let tells_staleness =
        directives.stale_while_revalidate.is_some() || directives.stale_if_error.is_some();
    let is_revalidated = directives.must_revalidate || directives.proxy_revalidate;
    let never_stale =
        directives.forbids_stale() && (is_revalidated || directives.no_cache || !tells_staleness);
    let stale = |stated: Option<u64>, default: Duration| match stated {
        _ if never_stale => Duration::ZERO,
        Some(seconds) => Duration::from_secs(seconds),
        None => default,
    };
    let terms = Terms {
        lifetime,
        initial_age,
        stored_at: times.response,
        always_validate: directives.no_cache,
        never_stale,
        stale_while_revalidate: stale(
            directives.stale_while_revalidate,
            rules.stale_while_revalidate,
        ),
        stale_if_error: stale(directives.stale_if_error, rules.stale_if_error),
    };
    let has_validator =
        headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    if terms.usable_for(has_validator).is_zero() || (directives.no_cache && !has_validator) {
        return Err(NotStored::Stale);
    }
    Ok((terms, nominated, directives))
}

/// RFC 9111, section 1.2.2: the longest time.
const FOREVER: Duration = Duration::from_secs(1 << 31);

/// Interim responses, parts of a response, and responses that refer to a stored one.
fn is_incomplete(status: StatusCode) -> bool {
    status.is_informational()
        || matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The statuses whose meaning for caches RFC 9110 defines.
fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

/// The statuses that are stored although the service does not mention caches: results, and moves for good. An error may be
/// over in a moment.
fn is_lasting(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 301 | 308)
}

/// A nonce of a content security policy is for one response, and part of its body.
fn has_nonce(headers: &HeaderMap) -> bool {
    let names = [header::CONTENT_SECURITY_POLICY, header::CONTENT_SECURITY_POLICY_REPORT_ONLY];
    names.iter().flat_map(|name| headers.get_all(name)).any(|policy| {
        let policy = policy.as_bytes().to_ascii_lowercase();
        policy.windows(7).any(|word| word == b"'nonce-")
    })
}
