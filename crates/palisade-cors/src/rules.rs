use std::{
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use foldhash::HashSet;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use palisade_core::{ApiError, BoxError};

use crate::{
    allowlist::Allowlist, paths::Paths, refusal::Refusal, request_headers::RequestHeaders,
};

/// The `Vary` of responses by an allowlist.
pub(crate) static ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// Rules that a handle can replace. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct SharedRules(Arc<ReplaceableRules>);

#[derive(Debug)]
struct ReplaceableRules {
    first: Arc<Rules>,
    /// Empty until rules are replaced: a request then reads nothing that another thread writes.
    replaced: OnceLock<ArcSwap<Rules>>,
}

/// The current rules.
pub(crate) enum CurrentRules<'a> {
    First(&'a Arc<Rules>),
    Later(Guard<Arc<Rules>>),
}

impl Deref for CurrentRules<'_> {
    type Target = Arc<Rules>;

    #[inline]
    fn deref(&self) -> &Arc<Rules> {
        match self {
            Self::First(rules) => rules,
            Self::Later(rules) => rules,
        }
    }
}

impl SharedRules {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(Arc::new(ReplaceableRules { first: Arc::new(rules), replaced: OnceLock::new() }))
    }

    #[inline]
    pub(crate) fn load(&self) -> CurrentRules<'_> {
        match self.0.replaced.get() {
            None => CurrentRules::First(&self.0.first),
            Some(rules) => CurrentRules::Later(rules.load()),
        }
    }

    pub(crate) fn replace(&self, rules: Rules) {
        let rules = Arc::new(rules);
        let replaced = self.0.replaced.get_or_init(|| ArcSwap::new(Arc::clone(&rules)));
        replaced.store(rules);
    }
}

/// A configuration, with prepared header values.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) origins: Allowlist,
    pub(crate) methods: Methods,
    pub(crate) request_headers: RequestHeaders,
    pub(crate) exposed: Option<HeaderValue>,
    pub(crate) credentials: bool,
    pub(crate) max_age: Option<HeaderValue>,
    pub(crate) private_network: bool,
    pub(crate) granted: StatusCode,
    pub(crate) refused: StatusCode,
    pub(crate) vary_of_preflights: Option<HeaderValue>,
    pub(crate) strict: bool,
    pub(crate) debug: bool,
    pub(crate) keeps_service_headers: bool,
    pub(crate) paths: Paths<SharedRules>,
    /// Set after the warning was logged once for this configuration.
    pub(crate) warned_of_authorization: AtomicBool,
}

/// The methods that pages may use.
#[derive(Debug)]
pub(crate) enum Methods {
    Any,
    Listed(HashSet<HeaderValue>),
}

impl Rules {
    /// The lookup of the origin failed. No page may read the response; in strict mode the request is rejected with 503.
    pub(crate) fn could_not_tell(&self, cause: BoxError) -> ApiError {
        let error = ApiError::unavailable().with_source(cause);
        if self.origins.varies() { error.with_header(header::VARY, ORIGIN.clone()) } else { error }
    }

    /// Warns, once, if a 401 asks pages for an `Authorization` that they may not send. The list of headers and the
    /// authentication cannot see each other when they are built, and a page only sees the 401.
    #[cold]
    pub(crate) fn warn_if_authorization_cannot_be_sent(&self, response: &HeaderMap) {
        let asks = response.get_all(header::WWW_AUTHENTICATE).iter().any(|challenge| {
            let scheme = challenge.as_bytes().split(|byte| *byte == b' ').next();
            let schemes = ["bearer", "basic", "dpop"];
            scheme
                .is_some_and(|sent| schemes.iter().any(|s| sent.eq_ignore_ascii_case(s.as_bytes())))
        });
        if asks
            && !self.request_headers.include_authorization()
            && !self.warned_of_authorization.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                target: "palisade::cors",
                "a page was answered 401 and asked for an Authorization that it may not send; \
                 add it: allow_headers([\"Authorization\", ...])"
            );
        }
    }

    /// Logs a rejection with the client's values, truncated.
    pub(crate) fn log(&self, what: &str, reason: Refusal, request: &HeaderMap) {
        let origin = Escaped(request.get(header::ORIGIN));
        let method = Escaped(request.get(header::ACCESS_CONTROL_REQUEST_METHOD));
        let headers = Escaped(request.get(header::ACCESS_CONTROL_REQUEST_HEADERS));
        if self.debug {
            tracing::warn!(target: "palisade::cors", %reason, ?origin, ?method, ?headers, "CORS {what} refused");
        } else {
            tracing::debug!(target: "palisade::cors", %reason, ?origin, ?method, ?headers, "CORS {what} refused");
        }
    }
}

/// A value of the client for the log, escaped and truncated.
struct Escaped<'a>(Option<&'a HeaderValue>);

const SHOWN_BYTES: usize = 256;

impl std::fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(value) = self.0 else { return f.write_str("none") };
        let bytes = value.as_bytes();
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if shown.len() < bytes.len() { f.write_str("...") } else { Ok(()) }
    }
}
