//! The client of one limit.

use std::{
    error::Error,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use palisade_core::{BoxError, BoxFuture, Clock, ConfigError, LogBackoff};

use super::{
    breaker::Nodes,
    cache::{CacheKey, LocalCache},
    digest::Key as DigestKey,
    stats::{Counts, StoreStats},
};
use crate::{
    Action, Ban, Demand, Fit, Intervention, Quota, Reading, Refund, Standing, Store,
    counters::Refused, per_quota::QuotaArray,
};

/// The client of one limit to its store.
pub(crate) struct StoreClient {
    pub(super) store: Arc<dyn Store>,
    pub(super) limit: Arc<str>,
    pub(super) failure: Failure,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    /// In nanoseconds. With 0 neither rejections nor blocks are cached.
    pub(super) refusal_ttl: u64,
    pub(super) caches_refusals: bool,
    /// The ban for which the store counts rejections.
    pub(super) ban: Option<Ban>,
    pub(super) lease: u32,
    pub(super) cache: LocalCache,
    pub(super) nodes: Nodes,
    pub(super) key_log: LogBackoff,
    pub(super) repeated_refunds: AtomicUsize,
    pub(super) refund_log: LogBackoff,
    pub(super) ids: Ids,
    pub(super) digest: DigestKey,
    pub(super) stats: Counts,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a request gets if the store fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    Closed,
    Open,
    Local(f64),
}

/// Generates numbers that are unique among all machines, up to collisions of 64 random bits.
#[derive(Debug, Default)]
pub(super) struct Ids {
    pub(super) random: RandomState,
    pub(super) made: AtomicU64,
}

/// One request of one key.
pub(crate) struct StoreRequest {
    pub(crate) quotas: Arc<[Quota]>,
    /// The digest of the key.
    pub(crate) key: [u8; 16],
    /// The key's hash in the local cache. It includes the quotas if they may differ between requests.
    pub(crate) cached_as: u64,
    pub(crate) cost: u32,
    /// The request waits if it is rejected, so a rejection does not count for the ban.
    pub(crate) may_wait: bool,
}

impl StoreRequest {
    pub(super) fn cache_key(&self) -> CacheKey {
        CacheKey::new(self.cached_as, &self.key)
    }
}

impl StoreClient {
    /// Returns the name of a key in the store.
    pub(crate) fn digest(&self, key: &impl Hash) -> [u8; 16] {
        self.digest.digest(key)
    }

    /// Returns what a request gets if the store fails.
    pub(crate) fn failure(&self) -> Failure {
        self.failure
    }

    /// Returns how long an open breaker keeps requests from a node.
    pub(crate) fn pause(&self) -> Duration {
        self.nodes.pause()
    }

    /// Returns true if the store counts rejections for the ban.
    pub(crate) fn counts_bans(&self) -> bool {
        self.ban.is_some()
    }

    pub(crate) fn stats(&self) -> StoreStats {
        self.stats.read(self.nodes.is_any_open())
    }

    /// Checks whether the store can count quotas that were chosen for a request.
    pub(crate) fn supports(&self, quotas: &[Quota]) -> Result<(), ConfigError> {
        quotas.iter().try_for_each(|quota| self.store.supports(quota))
    }

    /// Resets, blocks or unblocks a key on all machines, this one included.
    ///
    /// # Errors
    ///
    /// If the store fails or times out. It may have carried out the action nevertheless.
    pub(crate) fn intervene(
        self: &Arc<Self>,
        key: &impl Hash,
        action: Action,
    ) -> BoxFuture<Result<(), BoxError>> {
        let (client, key) = (Arc::clone(self), self.digest.digest(key));
        Box::pin(async move {
            let intervention = Intervention { limit: Arc::clone(&client.limit), key, action };
            let done = client.in_time(client.store.intervene(intervention)).await;
            // After the store, so that no older verdict is cached. Also if it failed, because it may have been carried out.
            client.cache.forget(&key, client.now());
            done
        })
    }

    /// Reads the standing of a key, including the permits that this machine has leased. Charges nothing.
    ///
    /// # Errors
    ///
    /// If the store fails or times out.
    pub(crate) fn look(
        self: &Arc<Self>,
        key: &impl Hash,
        cached_as: u64,
        quotas: &Arc<[Quota]>,
    ) -> BoxFuture<Result<QuotaArray<Standing>, BoxError>> {
        let (client, key, quotas) = (Arc::clone(self), self.digest.digest(key), Arc::clone(quotas));
        Box::pin(async move {
            let limit = Arc::clone(&client.limit);
            let demand = Demand { limit, key, quotas, cost: 0, most: 0, ban: None };
            let verdict = client.in_time(client.store.charge(demand)).await?;
            let leased = client.cache.permits(cached_as, client.now());
            Ok(standings(&verdict.readings).map(|standing| standing.with_more(leased)))
        })
    }

    /// Charges the difference to a settled cost, as far as there is room. No request waits for it.
    pub(crate) fn charge_in_background(self: &Arc<Self>, demand: Demand) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let client = Arc::clone(self);
        runtime.spawn(async move {
            if let Err(error) = client.in_time(client.store.charge(demand)).await {
                tracing::warn!(
                    limit = &*client.limit,
                    error = &*error,
                    "a settled cost was not charged: the store of a rate limit has failed"
                );
            }
        });
    }

    /// Waits for an answer up to both timeouts. For operators, who can wait for a connection.
    pub(super) async fn in_time<T>(
        &self,
        answer: BoxFuture<Result<T, BoxError>>,
    ) -> Result<T, BoxError> {
        let limit = self.connect_timeout.saturating_add(self.timeout);
        let late = TimedOut { what: "answer", limit };
        tokio::time::timeout(limit, answer).await.map_err(|_| late)?
    }

    /// Returns the time of the monotonic clock, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.random.hash_one(self.ids.made.fetch_add(1, Ordering::Relaxed))
    }
}

/// The error of a store that did not answer in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimedOut {
    pub(super) what: &'static str,
    pub(super) limit: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} of the store within {:?}", self.what, self.limit)
    }
}

impl Error for TimedOut {}

/// Returns a refund of nothing, to be completed with an amount.
pub(super) fn refund_of(demand: &Demand) -> Refund {
    let (limit, quotas) = (Arc::clone(&demand.limit), Arc::clone(&demand.quotas));
    Refund { limit, key: demand.key, quotas, amount: 0, moment: 0, id: 0 }
}

pub(crate) fn standings(readings: &[Reading]) -> QuotaArray<Standing> {
    let mut standings = QuotaArray::filled_with(Standing::new(0, None));
    for reading in readings {
        standings.push(Standing::new(reading.remaining, reading.more_in.map(nanos)));
    }
    standings
}

pub(crate) fn refused(readings: &[Reading], standings: QuotaArray<Standing>) -> Refused {
    let mut waits = QuotaArray::filled_with(None);
    for reading in readings {
        waits.push(match reading.fit {
            Fit::Fits => Some(0),
            Fit::After(wait) => Some(nanos(wait)),
            Fit::Never => None,
        });
    }
    Refused { standings, waits }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    // `u64::MAX` means never.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX - 1)
}

pub(super) fn shortest_window(quotas: &[Quota]) -> u64 {
    quotas.iter().map(|quota| nanos(quota.window())).min().unwrap_or(0)
}
