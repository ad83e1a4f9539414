//! The settings of a shared limit.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use palisade_core::{Clock, ConfigError, LogBackoff, Secret};

use super::{
    breaker::Nodes,
    cache::LocalCache,
    client::{Failure, StoreClient, nanos},
    digest::Key as DigestKey,
    stats::Counts,
};
use crate::{Ban, Quotas, Store};

/// A [`Store`], and how one limit uses it.
///
/// ```no_run
/// # use std::time::Duration;
/// # use palisade_rate_limit::{Quota, RateLimit, SharedStore, Store};
/// # fn example(redis: impl Store) -> Result<(), palisade_core::ConfigError> {
/// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60)))
///     .name("api")
///     .store(SharedStore::new(redis).fallback_local(0.25))
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// | if the store fails | a request is |
/// | --- | --- |
/// | [`fail_closed`](Self::fail_closed), the default | refused with 503 |
/// | [`fail_open`](Self::fail_open) | admitted, and counted nowhere |
/// | [`fallback_local`](Self::fallback_local) | counted on this machine, against a fraction of each limit |
///
/// A store that does not answer within the [timeout](Self::timeout) has failed. A late answer is still used: a lease or a
/// rejection in it serves the next request. After five consecutive failures of a node, its breaker opens: for a second no
/// request asks the node, and then one request at a time until it answers; see [`breaker`](Self::breaker). Failures that
/// concern one key ([`KeyError`](crate::KeyError)) do not count for the breaker. Failures are logged at level WARN, with
/// growing pauses while they continue, and counted in [`StoreStats`](crate::StoreStats).
///
/// A rejection is cached on this machine until the wait is over, for at most [`refusal_ttl`](Self::refusal_ttl). Rejections
/// are not cached if charges can be [returned](crate::RateLimitBuilder::count_if), because the key may then be admitted
/// sooner, or with a [ban](crate::RateLimitBuilder::ban), because the store must count each rejection. Blocks are always
/// cached.
///
/// The store receives 16 bytes of an HMAC-SHA-256 of each key, computed with the [`secret`](Self::secret). All machines that
/// share a limit must have the same name, key, quotas and secret, and be built by the same compiler, because the standard
/// library's `Hash` may change between compilers.
///
/// The store is asked on a separate task, which continues after a timeout or a disconnect, so that
/// [leased](Self::leased) permits are not lost. Refunds are repeated in the background until the store accepts them, for a
/// minute or until their window is over.
#[derive(Clone)]
#[must_use = "give it to `RateLimitBuilder::store`"]
pub struct SharedStore {
    store: Arc<dyn Store>,
    failure: Failure,
    timeout: Duration,
    connect_timeout: Duration,
    refusal_ttl: Duration,
    lease: u32,
    failures: u32,
    pause: Duration,
    secret: Secret,
}

/// The default secret. With it, the digest of a key is the same in all deployments.
const NO_SECRET: &[u8] = b"palisade";

/// The size of the local cache, in keys of 272 bytes each.
const MOST_CACHED: usize = 16_384;

/// The properties of the limit that its store client depends on.
pub(crate) struct Limit {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: usize,
    /// A charge may change after the response.
    pub(crate) changes_charges: bool,
}

impl SharedStore {
    /// Uses this store, and rejects requests when it fails. Several limits may use the same `Arc` of a store.
    pub fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            failure: Failure::Closed,
            timeout: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(1),
            refusal_ttl: Duration::from_secs(1),
            lease: 0,
            failures: 5,
            pause: Duration::from_secs(1),
            secret: Secret::from(NO_SECRET),
        }
    }

    /// Rejects requests with 503 when the store fails. This is the default.
    pub fn fail_closed(mut self) -> Self {
        self.failure = Failure::Closed;
        self
    }

    /// Admits requests without counting them when the store fails. For limits that protect nothing critical.
    pub fn fail_open(mut self) -> Self {
        self.failure = Failure::Open;
        self
    }

    /// Counts requests on this machine when the store fails, against this fraction of each limit, rounded up. With a fraction of
    /// one divided by the number of machines, they enforce the limit together. The counts of the store are not known then, so
    /// a window in which it fails may admit up to twice the limit.
    pub fn fallback_local(mut self, fraction: f64) -> Self {
        self.failure = Failure::Local(fraction);
        self
    }

    /// Sets how long a request waits for the store's decision. Default: 100 ms.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a request waits for the first connection to the store's node, before the [`timeout`](Self::timeout)
    /// begins. Connecting takes several round trips, more with TLS. Default: 1 s.
    ///
    /// Requests do not wait for a node that was connected before. If the service awaits `ready` of its store at start-up, no
    /// request waits.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a rejection by the store is cached on this machine. Default: 1 s; 0 disables the cache.
    ///
    /// A client over its limit causes one question to the store in this time. If a key is deleted in the store by hand, the
    /// machines notice it after this time.
    pub fn refusal_ttl(mut self, ttl: Duration) -> Self {
        self.refusal_ttl = ttl;
        self
    }

    /// Takes up to `permits` of a key at a time from the store and spends them on this machine, so that the store sees a
    /// fraction of the requests. For high limits and frequent keys.
    ///
    /// A machine keeps its permits for the length of the limit's shortest window. Permits that are not spent by then are lost.
    /// If its cache of 16,384 keys has no room for another lease, it asks the store for each request. So in any period of the
    /// window's length
    ///
    /// - all machines together admit at most what the algorithm allows and `permits` for each machine, which it may have
    ///   leased earlier;
    /// - a key may be rejected while other machines have up to `permits` each left for it.
    pub fn leased(mut self, permits: u32) -> Self {
        self.lease = permits;
        self
    }

    /// Sets after how many consecutive failures the breaker of a store's node opens, and for how long. Default: 5 failures, 1 s;
    /// 0 failures disable it.
    ///
    /// A cluster has one breaker for each master.
    pub fn breaker(mut self, failures: u32, pause: Duration) -> Self {
        self.failures = failures;
        self.pause = pause;
        self
    }

    /// Sets the secret of the keys' digests. It must be the same on all machines. Without a secret, a reader of the store can
    /// find the key of a digest by trying all IPv4 addresses or likely names.
    pub fn secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secret = secret.into();
        self
    }

    /// Returns the fraction of each limit that is counted locally when the store fails. `None` if nothing is.
    pub(crate) fn fraction(&self) -> Option<f64> {
        match self.failure {
            Failure::Local(fraction) => Some(fraction),
            Failure::Closed | Failure::Open => None,
        }
    }

    /// # Errors
    ///
    /// If the store cannot count one of the quotas, or a setting is not valid.
    pub(crate) fn build(
        self,
        quotas: &Quotas,
        ban: Option<Ban>,
        limit: &Limit,
    ) -> Result<Arc<StoreClient>, ConfigError> {
        for quota in quotas.iter() {
            self.store.supports(quota)?;
        }
        for (name, timeout) in
            [("timeout", self.timeout), ("connect_timeout", self.connect_timeout)]
        {
            if timeout.is_zero() {
                let remedy = "choose how long a request may wait for the store, such as 100 ms";
                return Err(ConfigError::new(name, format_args!("{timeout:?}"), remedy));
            }
        }
        if let Some(fraction) = self.fraction()
            && !(fraction > 0.0 && fraction <= 1.0)
        {
            let remedy = "choose one divided by the number of machines, or fail_closed()";
            return Err(ConfigError::new("fallback_local", fraction, remedy));
        }
        if self.secret.is_empty() {
            let remedy = "choose random bytes that all machines share, or omit the secret";
            return Err(ConfigError::new("secret", "nothing", remedy));
        }
        #[allow(clippy::disallowed_methods, reason = "the key of the digests is derived from it")]
        let digest = DigestKey::new(self.secret.expose());
        let client = Arc::new(StoreClient {
            limit: Arc::clone(&limit.name),
            failure: self.failure,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            lease: self.lease,
            refusal_ttl: nanos(self.refusal_ttl),
            // A refund may admit a key before its wait is over, and the store does not count cached rejections for the ban.
            caches_refusals: !limit.changes_charges && ban.is_none(),
            ban: ban.filter(|_| self.store.can_ban()),
            cache: LocalCache::for_keys(limit.keys.min(MOST_CACHED)),
            nodes: Nodes::new(self.failures, self.pause),
            key_log: LogBackoff::default(),
            repeated_refunds: AtomicUsize::new(0),
            refund_log: LogBackoff::default(),
            ids: Default::default(),
            digest,
            stats: Counts::default(),
            clock: Arc::clone(&limit.clock),
            store: self.store,
        });
        let weak = Arc::downgrade(&client);
        let forget = move |key: &[u8; 16]| match weak.upgrade() {
            Some(client) => {
                client.cache.forget(key, client.now());
                true
            }
            None => false,
        };
        client.store.subscribe(&client.limit, Arc::new(forget));
        Ok(client)
    }
}

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStore")
            .field("store", &self.store)
            .field("failure", &self.failure)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("refusal_ttl", &self.refusal_ttl)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
