//! Asks the store, and uses and fills the local cache.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use palisade_core::{BoxError, BoxFuture};

use super::{
    breaker::Node,
    cache::{CacheKey, Cached, Lease},
    client::{
        Failure, StoreClient, StoreRequest, TimedOut, nanos, refund_of, refused, shortest_window,
        standings,
    },
    stats::count,
};
use crate::{Demand, KeyError, Refund, Standing, Verdict, per_quota::QuotaArray};

impl StoreClient {
    /// Looks up a key in the local cache, and spends leased permits of it if there are enough.
    pub(crate) fn spend(&self, cached_as: u64, now: u64, cost: u32) -> Cached {
        let cached = self.cache.spend(cached_as, now, cost);
        match cached {
            Cached::Refused(_) | Cached::Blocked(_) => count(&self.stats.remembered),
            Cached::Leased { .. } => count(&self.stats.leased),
            Cached::Nothing => {}
        }
        cached
    }

    /// Spends leased permits of a key. Returns the standings and the moment of the lease. `None` without enough permits.
    pub(crate) fn spend_lease(
        &self,
        cached_as: u64,
        cost: u32,
    ) -> Option<(QuotaArray<Standing>, u64)> {
        if self.lease == 0 {
            return None;
        }
        let Cached::Leased { standings, moment } = self.cache.spend(cached_as, self.now(), cost)
        else {
            return None;
        };
        count(&self.stats.leased);
        Some((standings, moment))
    }

    pub(crate) fn demand(&self, request: &StoreRequest) -> Demand {
        Demand {
            limit: Arc::clone(&self.limit),
            key: request.key,
            quotas: Arc::clone(&request.quotas),
            cost: request.cost,
            most: request.cost,
            ban: self.ban.filter(|_| !request.may_wait),
        }
    }

    /// Returns the node of a demand. `None` if its breaker is open.
    pub(crate) fn available_node(&self, demand: &Demand, now: u64) -> Option<Arc<Node>> {
        let node = self.nodes.get(self.store.node(demand));
        if !node.breaker.take_attempt(now) {
            count(&self.stats.skipped);
            return None;
        }
        Some(node)
    }

    /// Asks the store, and records for the breaker whether it failed. Returns the verdict, and how many permits were leased
    /// with it.
    ///
    /// # Errors
    ///
    /// If the store fails or times out.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        request: &StoreRequest,
        demand: Demand,
        node: &Node,
        asked_at: u64,
    ) -> Result<(Verdict, u32), BoxError> {
        let answer = match self.connected(&demand).await {
            Ok(()) => {
                let most = self.most(request, self.now());
                let demand = Demand { most, ..demand };
                self.charge(demand, request.cache_key(), asked_at).await
            }
            Err(error) => {
                // A failure to connect counts as a question, so that failures never outnumber questions.
                count(&self.stats.asked);
                Err(error)
            }
        };
        self.stats.waited.fetch_add(self.now().saturating_sub(asked_at), Ordering::Relaxed);
        match &answer {
            Ok(_) => node.breaker.record_success(),
            Err(error) => self.record_failure(node, error),
        }
        answer
    }

    /// Waits for the first connection to the demand's node.
    async fn connected(&self, demand: &Demand) -> Result<(), BoxError> {
        let Some(connecting) = self.store.connecting(demand) else { return Ok(()) };
        let limit = self.connect_timeout;
        let late = TimedOut { what: "connection", limit };
        tokio::time::timeout(limit, connecting).await.map_err(|_| late)?
    }

    /// Returns the store's verdict and the number of permits that were leased with it. Leases and rejections are cached, also
    /// if they come too late for this request.
    ///
    /// # Errors
    ///
    /// If the store fails or times out.
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
                return Err("the verdict of the store does not match the demand".into());
            }
            let refund = Refund { moment: verdict.moment, ..refund };
            let kept = client.cache_verdict(&verdict, key, asked_at, cost, &refund);
            // The request has been rejected by the timeout, and a rejected request is not charged.
            if late.load(Ordering::SeqCst) && client.failure == Failure::Closed {
                let amount = if verdict.charged.is_some() { cost } else { 0 };
                client.refund(Refund { amount, ..refund });
            }
            Ok((verdict, kept))
        });
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await {
            return answer;
        }
        // On a task of its own: dropping the store's future after a timeout would lose leased permits and connections.
        let answer = tokio::spawn(asked);
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer?,
            Err(_) => {
                is_late.store(true, Ordering::SeqCst);
                Err(TimedOut { what: "decision", limit: self.timeout }.into())
            }
        }
    }

    /// Caches a verdict for later requests. Returns how many permits were leased.
    fn cache_verdict(
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
            if self.caches_refusals {
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

    /// Returns how much a request charges at most: a lease, unless another request asks for one or the cache has no room.
    fn most(&self, request: &StoreRequest, now: u64) -> u32 {
        let until = now.saturating_add(nanos(self.timeout));
        // A request of cost 0 charges nothing.
        let leases = request.cost > 0 && request.cost < self.lease;
        let leases = leases && self.cache.begin_lease(request.cache_key(), now, until);
        if leases { self.lease } else { request.cost }
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
            tracing::debug!(limit, pause = ?self.nodes.pause(), "the breaker of a store's node has opened");
        }
    }
}
