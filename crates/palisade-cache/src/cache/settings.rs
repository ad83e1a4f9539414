use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method, header, request};
use palisade_core::{Clock, LogBackoff, Principal};
use quick_cache::sync;

use crate::{
    entry::{Key, KeyRef, ScopeId, Stored, scope_id},
    rules::{Directives, Reuse, Rules, Scope, decide},
    store::{CacheStore, Flight, Flights, Landing, Mark},
};

/// What a [`Cache`](crate::Cache) was built of.
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    pub(crate) store: CacheStore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) most_body_bytes: u64,
    /// Of a QUERY whose response is stored.
    pub(crate) most_query_bytes: Option<u64>,
    pub(crate) dates_responses: bool,
    pub(crate) obeys_clients: bool,
    pub(crate) shows_status: bool,
    pub(crate) flights: Arc<Flights>,
    /// Keys whose last response was not stored, and until when requests for them do not wait for each other.
    pub(crate) unshared: sync::Cache<Key, Duration>,
    pub(crate) stripped: LogBackoff,
}

/// Whether the cache answers a request.
pub(crate) enum Access {
    /// GET or HEAD, with the identity that entries are kept for.
    Lookup(Option<ScopeId>),
    /// QUERY, whose content of at most so many bytes is part of the key.
    Query(Option<ScopeId>, u64),
    /// A request about a part of a response, with a body, or of an authenticated caller.
    Bypass,
    /// Another method.
    Method,
}

/// What is stored for a request.
pub(crate) enum Found {
    Fresh(Arc<Stored>),
    /// It may be served while it is renewed.
    Renewable(Arc<Stored>),
    Stale(Arc<Stored>),
    Nothing,
}

/// What a request finds that would go to the service. Made once for each miss.
#[allow(clippy::large_enum_variant)]
pub(crate) enum TakeOff {
    /// It goes, and others wait for it.
    Lead(Flight, Mark),
    /// Another one has landed.
    Found(Arc<Stored>),
}

/// The pauses between looks at the flight of another machine.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// A request does not wait for other machines for longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Requests for a key do not wait for each other for this long after a response that is not stored.
const UNSHARED_FOR: Duration = Duration::from_secs(10);
pub(super) const MOST_UNSHARED: usize = 4_096;

/// What the header fields of a request say about who can answer it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fields {
    Plain,
    /// Credentials, of `Authorization` or of the fields that services commonly use.
    Credentials,
    /// Conditions and ranges, because the service alone has each part and each version; an upgrade; and methods in disguise, which
    /// would store the response to a DELETE for those who GET.
    ForTheService,
}

fn fields(headers: &HeaderMap) -> Fields {
    let mut found = Fields::Plain;
    for name in headers.keys() {
        match name.as_str() {
            "range"
            | "if-range"
            | "if-match"
            | "if-unmodified-since"
            | "upgrade"
            | "x-http-method"
            | "x-http-method-override"
            | "x-method-override" => {
                return Fields::ForTheService;
            }
            "authorization"
            | "proxy-authorization"
            | "api-key"
            | "x-api-key"
            | "x-auth-token"
            | "x-access-token" => found = Fields::Credentials,
            _ => {}
        }
    }
    found
}

impl Settings {
    pub(crate) fn access(&self, head: &request::Parts, has_body: bool) -> Access {
        let most_query_bytes = match head.method {
            Method::GET | Method::HEAD => None,
            Method::QUERY if self.most_query_bytes.is_some() => self.most_query_bytes,
            _ => return Access::Method,
        };
        // The body of a GET is not part of the key: a service that reads it would let one client choose the response of others.
        let fields = fields(&head.headers);
        if (has_body && most_query_bytes.is_none()) || fields == Fields::ForTheService {
            return Access::Bypass;
        }
        let principal = head.extensions.get::<Principal>();
        let scope = match (self.rules.scope, principal) {
            _ if self.rules.share_authenticated => None,
            (Scope::Everyone, Some(_)) => return Access::Bypass,
            (scope, Some(principal)) => match scope_id(scope, principal) {
                Some(id) => Some(id),
                None => return Access::Bypass,
            },
            // Credentials of a scheme that no layer outside has checked.
            (_, None) if fields == Fields::Credentials => return Access::Bypass,
            (_, None) => None,
        };
        match most_query_bytes {
            Some(bytes) => Access::Query(scope, bytes),
            None => Access::Lookup(scope),
        }
    }

    /// Returns the directives of the client, if they count.
    pub(crate) fn client_directives(&self, headers: &HeaderMap) -> Directives {
        if self.obeys_clients && headers.contains_key(header::CACHE_CONTROL) {
            Directives::of_headers(headers)
        } else {
            Directives::default()
        }
    }

    /// Returns a response that can be served at once.
    #[inline]
    pub(crate) fn find_now(&self, key: KeyRef<'_>, headers: &HeaderMap) -> Option<Arc<Stored>> {
        let stored = self.store.find_now(key, headers)?;
        let request = self.client_directives(headers);
        self.is_fresh(&stored, &request).then_some(stored)
    }

    pub(crate) fn is_fresh(&self, stored: &Stored, request: &Directives) -> bool {
        decide(request, &stored.terms, self.clock.unix_coarse()) == Reuse::Fresh
    }

    pub(crate) async fn find(&self, key: &Key, headers: &HeaderMap, request: &Directives) -> Found {
        let Some(stored) = self.store.find(key, headers).await else { return Found::Nothing };
        match decide(request, &stored.terms, self.clock.unix_coarse()) {
            Reuse::Fresh => Found::Fresh(stored),
            Reuse::WhileRevalidating => Found::Renewable(stored),
            Reuse::Validate => Found::Stale(stored),
        }
    }

    /// Starts a flight, or waits for that of another machine.
    pub(crate) async fn take_off(
        &self,
        key: &Key,
        headers: &HeaderMap,
        request: &Directives,
        mut flight: Flight,
    ) -> TakeOff {
        let (mut pause, mut waited) = (FIRST_PAUSE, Duration::ZERO);
        loop {
            let departure = self.store.depart(key, &mut flight).await;
            // Another flight may have landed between the look and the start.
            if let Found::Fresh(stored) = self.find(key, headers, request).await {
                flight.land(Landing::Shared(Arc::clone(&stored)));
                return TakeOff::Found(stored);
            }
            if let Some(mark) = departure {
                return TakeOff::Lead(flight, mark);
            }
            // Further machines may have taken over the flight since, one after the other.
            if waited >= LONGEST_WAIT {
                return TakeOff::Lead(flight, self.store.mark(key).await);
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Returns true if a stale response may be served because the service failed (RFC 5861, section 4).
    pub(crate) fn may_serve_on_error(&self, stored: &Stored) -> bool {
        let now = self.clock.unix_coarse();
        let terms = &stored.terms;
        let staleness = terms.staleness(now).unwrap_or_default();
        !terms.never_stale && staleness < terms.stale_if_error
    }

    pub(crate) fn is_unshared(&self, key: &Key) -> bool {
        let until = self.unshared.get(&key.as_ref());
        until.is_some_and(|until| self.clock.monotonic() < until)
    }

    pub(crate) fn set_unshared(&self, key: &Key) {
        self.unshared.insert(key.clone(), self.clock.monotonic() + UNSHARED_FOR);
    }
}
