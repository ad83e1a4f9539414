//! How one limit uses its store.

use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{ConfigError, LogBackoff, Secret};

use super::{
    StoreClient, breaker::Nodes, cache::LocalCache, digest::Key as DigestKey, nanos,
    refunds::Refunds, stats::Counts,
};
use crate::{Ban, Quotas, Store, limiter::Settings};

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
/// A store that does not answer within the [time-out](Self::timeout) has failed. A late answer still counts: a lease or a
/// refusal in it serves the next request. After five failures in a row of one node, that node is not asked for a second,
/// and then by one request at a time until it answers; see [`breaker`](Self::breaker). Failures that concern one key
/// ([`KeyError`](crate::KeyError)) do not count for the breaker. Failures are logged at level WARN, at once and then
/// ever more rarely while they go on, and counted in [`StoreStats`](crate::StoreStats).
///
/// A key that the store has refused is refused on this machine, without asking, until the wait is over, but for no longer
/// than [`refusal_ttl`](Self::refusal_ttl). This is off where requests may be
/// [given back](crate::RateLimitBuilder::count_if), because the key may then be admitted sooner, and in a limit with a
/// [ban](crate::RateLimitBuilder::ban), because a refusal counts only if the store sees it. Blocks are always remembered.
///
/// The store gets digests of keys, HMAC-SHA-256 under a [`secret`](Self::secret), 16 bytes each. All machines that share a
/// limit must agree on its name, its key, its quotas and the secret, and be built by the same compiler, which has a say in
/// what is hashed.
///
/// The store is asked on a task of its own, which goes on when the request does not: a client that hangs up, or a
/// time-out, loses no permits that were [leased](Self::leased) for others. Refunds are repeated in the background until
/// the store has taken them, for a minute or until their window is over.
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

/// What becomes of a request when the store fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Failure {
    Closed,
    Open,
    Local(f64),
}

/// Without a secret of its own, the digest of a key is the same in all deployments.
const NO_SECRET: &[u8] = b"palisade";

/// Keys of which something is remembered on this machine: 272 bytes each.
const MOST_REMEMBERED: usize = 16_384;

impl SharedStore {
    /// Uses this store, and refuses requests when it fails. The same `Arc` of a store may serve any number of limits.
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

    /// Refuses a request with 503 when the store fails: for limits that protect something.
    pub fn fail_closed(mut self) -> Self {
        self.failure = Failure::Closed;
        self
    }

    /// Admits a request when the store fails, and counts it nowhere: for limits that are a courtesy.
    pub fn fail_open(mut self) -> Self {
        self.failure = Failure::Open;
        self
    }

    /// Counts a request on this machine when the store fails, against this fraction of each limit, rounded up. With one
    /// divided by the number of machines, all of them together have the limit again. What the store has counted before is
    /// not known here, so a window in which it fails may hold what it has admitted and this: twice the limit at most.
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
    /// A node that was connected before is not waited for. A service that calls `ready` of its store before it accepts
    /// requests never waits.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets for how long at most a refusal of the store is remembered on this machine. Default: 1 s; 0 turns it off.
    ///
    /// The store is asked so often about a client that is over its limit. A store that was emptied, or in which a key was
    /// deleted by hand, is seen on every machine after this time.
    pub fn refusal_ttl(mut self, ttl: Duration) -> Self {
        self.refusal_ttl = ttl;
        self
    }

    /// Takes up to `permits` at a time from the store, for one key, and spends them here without asking: the store sees
    /// a fraction of the traffic. For limits that are high and keys that come often.
    ///
    /// A machine keeps its permits for as long as the shortest window of the limit, and drops none of them before: when its
    /// table of 16,384 keys has no place for another lease, it asks the store for each request. Permits that are not spent
    /// within the window are lost. So in any window's length
    ///
    /// - all machines together admit at most what the algorithm allows and `permits` for each machine: those that were
    ///   taken before and spent within;
    /// - a key may be refused while other machines hold permits for it: at most `permits` for each of them.
    pub fn leased(mut self, permits: u32) -> Self {
        self.lease = permits;
        self
    }

    /// Sets after how many failures in a row a node of the store is left alone, and for how long. Default: 5 failures, 1 s;
    /// 0 failures turn it off.
    ///
    /// A store of one node has one breaker, a cluster one for each master.
    pub fn breaker(mut self, failures: u32, pause: Duration) -> Self {
        self.failures = failures;
        self.pause = pause;
        self
    }

    /// Makes digests of keys that cannot be tried out without this secret, which must be the same on all machines. Without
    /// a secret, a reader of the store can find out by trying which digest is that of an IPv4 address or of a name.
    pub fn secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secret = secret.into();
        self
    }

    /// Returns the fraction of each limit that is counted here when the store fails, if it is.
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
        keys: usize,
        ban: Option<Ban>,
        settings: &Settings,
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
            let remedy = "choose random bytes that all machines share, or leave it out";
            return Err(ConfigError::new("secret", "nothing", remedy));
        }
        #[allow(clippy::disallowed_methods, reason = "the key of the digests is made of them")]
        let digest = DigestKey::new(self.secret.expose());
        let client = Arc::new(StoreClient {
            limit: Arc::clone(&settings.name),
            failure: self.failure,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            lease: self.lease,
            refusal_ttl: nanos(self.refusal_ttl),
            // A refund may admit a key before its wait is over, and a refusal that is not asked for counts for no ban.
            remembers_refusals: !settings.changes_charges() && ban.is_none(),
            ban: ban.filter(|_| self.store.can_ban()),
            cache: LocalCache::for_keys(keys.min(MOST_REMEMBERED)),
            nodes: Nodes::new(self.failures, self.pause),
            key_log: LogBackoff::default(),
            refunds: Refunds::default(),
            refund_log: LogBackoff::default(),
            ids: Default::default(),
            digest,
            stats: Counts::default(),
            clock: Arc::clone(&settings.clock),
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
