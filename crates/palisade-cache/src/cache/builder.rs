use std::{sync::Arc, time::Duration};

use http::HeaderName;
use palisade_core::{Clock, ConfigError, LogBackoff, SystemClock};
use quick_cache::sync;

use super::{
    Cache,
    settings::{MOST_UNSHARED, Settings},
};
use crate::{
    CacheStore,
    rules::{Mode, Rules, Scope},
    store::Flights,
};

/// Makes a [`Cache`].
///
/// ```
/// use std::time::Duration;
/// use palisade_cache::{Cache, CacheStore};
///
/// let cache = Cache::honour()
///     .store(&CacheStore::memory(256 * 1024 * 1024)?)
///     .max_body(4 * 1024 * 1024)
///     .stale_if_error(Duration::from_secs(3600))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct CacheBuilder {
    mode: Mode,
    scope: Scope,
    store: Option<CacheStore>,
    clock: Arc<dyn Clock>,
    max_body: u64,
    max_query: Option<u64>,
    dates_responses: bool,
    stale_while_revalidate: Option<Duration>,
    stale_if_error: Option<Duration>,
    obeys_clients: Option<bool>,
    share_authenticated: bool,
    ignore_cookies: bool,
    shows_status: bool,
    kept_fields: Vec<HeaderName>,
}

/// The default of [`CacheBuilder::max_body`]: 1 MiB.
const MAX_BODY: u64 = 1024 * 1024;

/// RFC 9111, section 1.2.2: the longest time.
const LONGEST: Duration = Duration::from_secs(1 << 31);

impl CacheBuilder {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            scope: Scope::Everyone,
            store: None,
            clock: SystemClock::shared(),
            max_body: MAX_BODY,
            max_query: None,
            dates_responses: false,
            stale_while_revalidate: None,
            stale_if_error: None,
            obeys_clients: None,
            share_authenticated: false,
            ignore_cookies: false,
            shows_status: true,
            kept_fields: Vec::new(),
        }
    }

    /// Sets the store, which several caches may share. Default: 64 MiB of memory for this cache alone.
    pub fn store(mut self, store: &CacheStore) -> Self {
        self.store = Some(store.clone());
        self
    }

    /// Sets the length up to which bodies are stored, in bytes. Longer ones stream through. Default: 1 MiB.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// Stores the responses to QUERY requests too ([RFC 10008](https://www.rfc-editor.org/rfc/rfc10008)), by their content: up to
    /// this many bytes, which are read before the service is asked. QUERY requests with more, or without a declared length, pass.
    /// Default: all of them pass.
    ///
    /// A successful POST, PUT, PATCH or DELETE then removes the responses for its path with each query string and content.
    pub fn store_queries(mut self, max_content: u64) -> Self {
        self.max_query = Some(max_content);
        self
    }

    /// Gives stored responses without `Last-Modified` the time at which the service made them, for clients that do not know
    /// entity tags. Default: they have none. A handler that knows the time returns [`Validators`](crate::Validators) in the
    /// extensions of its response.
    pub fn last_modified(mut self) -> Self {
        self.dates_responses = true;
        self
    }

    /// Sets for how long a stale response is served while it is renewed in the background, unless the response says it itself
    /// ([RFC 5861, section 3](https://www.rfc-editor.org/rfc/rfc5861#section-3)).
    ///
    /// Default: never for [`Cache::honour`], without limit for [`Cache::revalidate`].
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = Some(time);
        self
    }

    /// Sets for how long a stale response is served if the service fails, unless the response says it itself
    /// ([RFC 5861, section 4](https://www.rfc-editor.org/rfc/rfc5861#section-4)): its status is 5xx, or it returns an error.
    ///
    /// Default: never for [`Cache::honour`], without limit for [`Cache::revalidate`].
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = Some(time);
        self
    }

    /// Guesses the lifetime of responses that state none, but have `Last-Modified`: a tenth of the time since then, at most a
    /// day ([RFC 9111, section 4.2.2](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.2)). Default: they are not stored.
    ///
    /// For [`Cache::honour`]; the other modes have a lifetime.
    pub fn heuristics(mut self) -> Self {
        if let Mode::Honour { heuristics } = &mut self.mode {
            *heuristics = true;
        }
        self
    }

    /// Obeys, or ignores, what clients say in `Cache-Control`
    /// ([RFC 9111, section 5.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1)), except for `no-store`, which is always
    /// obeyed. A client that is obeyed can reach the service with each request.
    ///
    /// Default: [`Cache::honour`] obeys, the other modes ignore it.
    pub fn obey_clients(mut self, obey: bool) -> Self {
        self.obeys_clients = Some(obey);
        self
    }

    /// Stores the responses to authenticated requests, each for its caller alone: for the same subject of the same issuer, with
    /// the same roles, scopes and tenants. Responses with `private` are stored too.
    ///
    /// The authentication goes outside of the cache.
    pub fn per_principal(mut self) -> Self {
        self.scope = Scope::Principal;
        self
    }

    /// Stores the responses to authenticated requests for the [tenant](palisade_core::Principal::tenant) that their callers act
    /// in. **All of its members get the same response**: use it for resources that depend on nothing else of the caller, and
    /// check roles outside of the cache. Requests of callers that act in no tenant pass.
    pub fn per_tenant(mut self) -> Self {
        self.scope = Scope::Tenant;
        self
    }

    /// Gives the response to one authenticated request to all clients, also to those without credentials. For resources that are
    /// the same for every caller, such as those of a public API whose keys only count requests.
    pub fn insecure_share_authenticated(mut self) -> Self {
        self.share_authenticated = true;
        self
    }

    /// Declares that the service does not read cookies. Otherwise a response to a request with cookies is only stored if it has
    /// `public`, `s-maxage`, `CDN-Cache-Control` or `Vary: Cookie`.
    pub fn ignore_cookies(mut self) -> Self {
        self.ignore_cookies = true;
        self
    }

    /// Stores a header field that is left out otherwise, such as a content security policy of the route. `Set-Cookie` and the
    /// fields of a connection are never stored.
    pub fn store_header(mut self, name: HeaderName) -> Self {
        self.kept_fields.push(name);
        self
    }

    /// Does not write `Cache-Status` ([RFC 9211](https://www.rfc-editor.org/rfc/rfc9211)), which tells clients what is stored.
    pub fn without_cache_status(mut self) -> Self {
        self.shows_status = false;
        self
    }

    /// Sets the clock. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    ///
    /// If the time of [`Cache::revalidate`] is zero, or two scopes contradict each other.
    pub fn build(self) -> Result<Cache, ConfigError> {
        if self.mode == Mode::Revalidate(Duration::ZERO) {
            return Err(ConfigError::new(
                "revalidate",
                "0",
                "use a positive time, or `Cache::honour` and `no-cache` to validate each use",
            ));
        }
        if self.share_authenticated && self.scope != Scope::Everyone {
            return Err(ConfigError::without_value(
                "insecure_share_authenticated",
                "leave it out, or `per_principal` and `per_tenant`",
            ));
        }
        let is_honouring = matches!(self.mode, Mode::Honour { .. });
        let stale = if is_honouring { Duration::ZERO } else { LONGEST };
        let rules = Rules {
            mode: self.mode,
            scope: self.scope,
            stale_while_revalidate: self.stale_while_revalidate.unwrap_or(stale).min(LONGEST),
            stale_if_error: self.stale_if_error.unwrap_or(stale).min(LONGEST),
            share_authenticated: self.share_authenticated,
            ignore_cookies: self.ignore_cookies,
            kept_fields: self.kept_fields,
        };
        let settings = Settings {
            rules,
            store: self.store.unwrap_or_default(),
            clock: self.clock,
            most_body_bytes: self.max_body,
            most_query_bytes: self.max_query,
            dates_responses: self.dates_responses,
            obeys_clients: self.obeys_clients.unwrap_or(is_honouring),
            shows_status: self.shows_status,
            flights: Arc::new(Flights::default()),
            unshared: sync::Cache::new(MOST_UNSHARED),
            stripped: LogBackoff::default(),
        };
        Ok(Cache { settings: Arc::new(settings) })
    }
}

/// A cache whose responses never become stale. See [`Cache::forever`].
#[derive(Clone, Debug)]
#[must_use = "call `until_purged`"]
pub struct Forever(());

impl Forever {
    pub(super) fn new() -> Self {
        Self(())
    }

    /// Stores results until they are [purged](crate::Purge), or make room for others. The service is not asked for them before, so
    /// the code that changes a resource has to purge its responses.
    pub fn until_purged(self) -> CacheBuilder {
        CacheBuilder::new(Mode::Forever)
    }
}
