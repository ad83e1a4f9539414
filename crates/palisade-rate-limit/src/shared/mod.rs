//! A limit that machines share: how it asks its store, and what it does when the store does not answer.

mod breaker;
mod cache;
mod decide;
mod digest;
mod refunds;
mod settings;
mod stats;

use std::{
    error::Error,
    fmt,
    future::poll_fn,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use palisade_core::{BoxError, BoxFuture, Clock, ConfigError, LogBackoff};

pub(crate) use self::decide::{Receipt, decide};
use self::{
    breaker::{Node, Nodes},
    cache::{CacheKey, Lease, LocalCache},
    decide::Question,
    digest::Key as DigestKey,
    refunds::Refunds,
    settings::Failure,
    stats::{Counts, count},
};
pub use self::{settings::SharedStore, stats::StoreStats};
use crate::{
    Action, Ban, Demand, Fit, Intervention, KeyError, Quota, Reading, Refund, Standing, Store,
    Verdict,
    counters::{Each, Refused},
};

/// One limit's way to its store, and what it remembers of it.
pub(crate) struct StoreClient {
    store: Arc<dyn Store>,
    limit: Arc<str>,
    failure: Failure,
    timeout: Duration,
    connect_timeout: Duration,
    /// In nanoseconds. With 0 neither a refusal nor a block is remembered.
    refusal_ttl: u64,
    remembers_refusals: bool,
    /// The ban that the store counts refusals for.
    ban: Option<Ban>,
    lease: u32,
    cache: LocalCache,
    nodes: Nodes,
    key_log: LogBackoff,
    refunds: Refunds,
    refund_log: LogBackoff,
    ids: Ids,
    digest: DigestKey,
    stats: Counts,
    clock: Arc<dyn Clock>,
}

/// Makes numbers that no other process of the fleet makes, as far as 64 random bits go.
#[derive(Debug, Default)]
struct Ids {
    random: RandomState,
    made: AtomicU64,
}

impl StoreClient {
    /// Returns the name of a key in the store.
    pub(crate) fn digest(&self, key: &impl Hash) -> [u8; 16] {
        self.digest.digest(key)
    }

    pub(crate) fn stats(&self) -> StoreStats {
        self.stats.read(self.nodes.is_any_open())
    }

    /// Checks whether the store counts quotas that were chosen for a request.
    pub(crate) fn supports(&self, quotas: &[Quota]) -> Result<(), ConfigError> {
        quotas.iter().try_for_each(|quota| self.store.supports(quota))
    }

    /// Resets, blocks or unblocks a key on all machines, this one included.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not answer within the time-out. It may have done it nevertheless.
    pub(crate) fn intervene(
        self: &Arc<Self>,
        key: &impl Hash,
        action: Action,
    ) -> BoxFuture<Result<(), BoxError>> {
        let (client, key) = (Arc::clone(self), self.digest.digest(key));
        Box::pin(async move {
            let intervention = Intervention { limit: Arc::clone(&client.limit), key, action };
            let done = client.in_time(client.store.intervene(intervention)).await;
            // After the store, so that no answer from before is remembered. Also when it failed: it may have been done.
            client.cache.forget(&key, client.now());
            done
        })
    }

    /// Asks the store how a key stands, without charging it, and adds the permits that are leased on this machine.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not answer within the time-out.
    pub(crate) fn look(
        self: &Arc<Self>,
        key: &impl Hash,
        cached_as: u64,
        quotas: &Arc<[Quota]>,
    ) -> BoxFuture<Result<Each<Standing>, BoxError>> {
        let (client, key, quotas) = (Arc::clone(self), self.digest.digest(key), Arc::clone(quotas));
        Box::pin(async move {
            let limit = Arc::clone(&client.limit);
            let demand = Demand { limit, key, quotas, cost: 0, most: 0, ban: None };
            let verdict = client.in_time(client.store.charge(demand)).await?;
            let leased = client.cache.permits(cached_as, client.now());
            Ok(standings(&verdict.readings).map(|standing| standing.with_more(leased)))
        })
    }

    /// Charges what turned out to be owed, as much of it as fits. No request waits for it.
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

    /// For operators, who can wait for a connection.
    async fn in_time<T>(&self, answer: BoxFuture<Result<T, BoxError>>) -> Result<T, BoxError> {
        let limit = self.connect_timeout.saturating_add(self.timeout);
        let late = TimedOut { what: "answer", limit };
        tokio::time::timeout(limit, answer).await.map_err(|_| late)?
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    fn next_id(&self) -> u64 {
        self.ids.random.hash_one(self.ids.made.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the store's verdict, or an error after the time-out. The leased permits and the refusal in it are put into
    /// the cache, also if they come too late for the request that asked. Returns with it how many permits were kept.
    async fn charge(
        self: &Arc<Self>,
        demand: Demand,
        key: CacheKey,
        asked_at: u64,
    ) -> Result<(Verdict, u32), BoxError> {
        count(&self.stats.asked);
        let is_late = Arc::new(AtomicBool::new(false));
        let (client, late) = (Arc::clone(self), Arc::clone(&is_late));
        let mut asked: BoxFuture<Result<(Verdict, u32), BoxError>> = Box::pin(async move {
            let refund = refund_of(&demand);
            let (cost, most) = (demand.cost, demand.most);
            let verdict = client.store.charge(demand).await?;
            let within = |charged| (cost..=most).contains(&charged);
            if verdict.readings.len() != refund.quotas.len() || !verdict.charged.is_none_or(within)
            {
                return Err("the store's answer does not fit the question".into());
            }
            let refund = Refund { moment: verdict.moment, ..refund };
            let kept = client.remember(&verdict, key, asked_at, cost, &refund);
            // The request was refused meanwhile, and a refused request is not charged.
            if late.load(Ordering::SeqCst) && client.failure == Failure::Closed {
                let amount = if verdict.charged.is_some() { cost } else { 0 };
                client.refund(Refund { amount, ..refund });
            }
            Ok((verdict, kept))
        });
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await {
            return answer;
        }
        // A task of its own: to drop a store's future half way would lose what it learns, about permits and connections.
        let answer = tokio::spawn(asked);
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer?,
            Err(_) => {
                is_late.store(true, Ordering::SeqCst);
                Err(TimedOut { what: "decision", limit: self.timeout }.into())
            }
        }
    }

    /// Puts into the cache what a verdict says for later requests. Returns how many permits were kept.
    fn remember(
        self: &Arc<Self>,
        verdict: &Verdict,
        key: CacheKey,
        asked_at: u64,
        cost: u32,
        refund: &Refund,
    ) -> u32 {
        let standings = standings(&verdict.readings);
        if let Some(block) = verdict.block {
            self.cache.block(key, asked_at, nanos(block.rest), self.refusal_ttl);
            return 0;
        }
        let Some(charged) = verdict.charged else {
            if self.remembers_refusals {
                let refused = refused(&verdict.readings, standings);
                self.cache.refuse(key, asked_at, cost, &refused, self.refusal_ttl);
            }
            return 0;
        };
        let permits = charged.saturating_sub(cost);
        if permits == 0 {
            return 0;
        }
        let times = (asked_at, asked_at.saturating_add(shortest_window(&refund.quotas)));
        let lease = Lease { permits, moment: verdict.moment };
        let returned = self.cache.lease(key, times, lease, self.lease, standings);
        for Lease { permits: amount, moment } in returned {
            self.refund(Refund { amount, moment, ..refund.clone() });
        }
        permits.saturating_sub(returned[0].permits)
    }

    /// The most that a request takes from the store: a lease, unless another request asks for one or there is no place for
    /// it.
    fn most(&self, question: &Question, now: u64) -> u32 {
        let until = now.saturating_add(nanos(self.timeout));
        // A look takes nothing.
        let leases = question.attempt.cost > 0 && question.attempt.cost < self.lease;
        let leases = leases && self.cache.begin_lease(question.cache_key(), now, until);
        if leases { self.lease } else { question.attempt.cost }
    }

    fn record_failure(&self, node: &Node, error: &BoxError) {
        let now = self.now();
        count(&self.stats.failed);
        if error.is::<TimedOut>() {
            count(&self.stats.timed_out);
        }
        let (limit, mode, shown) = (&*self.limit, self.failure, error.as_ref());
        if error.is::<KeyError>() {
            if let Some(failures) = self.key_log.record(self.clock.monotonic()) {
                tracing::warn!(
                    limit,
                    error = shown,
                    ?mode,
                    failures,
                    "the store of a rate limit has failed for one key"
                );
            }
            return;
        }
        let opened = node.breaker.record_failure(now);
        if let Some(failures) = node.log.record(self.clock.monotonic()) {
            tracing::warn!(
                limit,
                error = shown,
                ?mode,
                failures,
                "the store of a rate limit has failed"
            );
        }
        if opened {
            tracing::debug!(limit, pause = ?self.nodes.pause(), "a node of the store is left alone");
        }
    }
}

/// Calls off the waiting for a store.
#[derive(Clone, Copy, Debug)]
struct TimedOut {
    what: &'static str,
    limit: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} of the store within {:?}", self.what, self.limit)
    }
}

impl Error for TimedOut {}

/// A refund of nothing yet.
fn refund_of(demand: &Demand) -> Refund {
    let (limit, quotas) = (Arc::clone(&demand.limit), Arc::clone(&demand.quotas));
    Refund { limit, key: demand.key, quotas, amount: 0, moment: 0, id: 0 }
}

fn standings(readings: &[Reading]) -> Each<Standing> {
    let mut standings = Each::none(Standing::new(0, None));
    for reading in readings {
        standings.push(Standing::new(reading.remaining, reading.more_in.map(nanos)));
    }
    standings
}

fn refused(readings: &[Reading], standings: Each<Standing>) -> Refused {
    let mut waits = Each::none(None);
    for reading in readings {
        waits.push(match reading.fit {
            Fit::Fits => Some(0),
            Fit::After(wait) => Some(nanos(wait)),
            Fit::Never => None,
        });
    }
    Refused { standings, waits }
}

fn nanos(duration: Duration) -> u64 {
    // u64::MAX stands for never.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX - 1)
}

fn shortest_window(quotas: &[Quota]) -> u64 {
    quotas.iter().map(|quota| nanos(quota.window())).min().unwrap_or(0)
}
