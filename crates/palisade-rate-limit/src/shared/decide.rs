//! How a request is decided on: by what this machine remembers, by the store, or without it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use palisade_core::{ApiError, BoxError, Decision, Halt};
use tokio::runtime::Handle;

use super::{
    StoreClient, TimedOut,
    breaker::Node,
    cache::{CacheKey, Known, Lease},
    nanos, refund_of, refused,
    settings::Failure,
    standings,
    stats::count,
};
use crate::{
    Admission, Demand, Key, Quota, Refund, Standing,
    admission::Charge,
    attempt::{Attempt, Chosen},
    counters::{self, Each},
    headers::Fields,
    limiter::Shared as Limit,
    per_quota::PerQuota,
    plan::Plan,
};

/// A charge that can be given back.
pub(crate) struct Receipt {
    client: Arc<StoreClient>,
    /// The key's hash in the local cache.
    cached_as: u64,
    refund: Refund,
    /// The permits were spent of a lease on this machine.
    of_lease: bool,
}

impl Receipt {
    /// Gives back a part of what was charged.
    pub(crate) fn give_back(&self, amount: u32) {
        let Self { client, refund, .. } = self;
        let spent = Lease { permits: amount, moment: refund.moment };
        let restored = self.of_lease
            && client.cache.restore(self.cached_as, client.now(), spent, client.lease);
        if !restored {
            client.refund(Refund { amount, ..refund.clone() });
        }
    }

    /// Charges more, as much as fits, in the background.
    pub(crate) fn charge_more(&self, amount: u32) {
        let (limit, quotas) = (Arc::clone(&self.refund.limit), Arc::clone(&self.refund.quotas));
        let key = self.refund.key;
        let demand = Demand { limit, key, quotas, cost: 1, most: amount, ban: None };
        self.client.charge_in_background(demand);
    }
}

/// One request of one key.
pub(super) struct Question {
    pub(super) quotas: Arc<[Quota]>,
    /// What the response says of quotas that were chosen for this request.
    fields: Option<Arc<[Fields]>>,
    pub(super) attempt: Attempt,
    /// The key's hash in the local cache: together with the quotas, where they may differ from request to request.
    cached_as: u64,
    pub(super) key: [u8; 16],
    /// Of the quotas.
    generation: u32,
}

impl Question {
    pub(super) fn cache_key(&self) -> CacheKey {
        CacheKey::new(self.cached_as, &self.key)
    }
}

/// Returns what a limit says of a request: by what it remembers, or after it has asked the store.
pub(crate) fn decide<K: Key>(
    limit: &Arc<Limit<K>>,
    client: &Arc<StoreClient>,
    digest: impl Fn() -> [u8; 16],
    attempt: Attempt,
    chosen: Option<Chosen>,
) -> Decision<Admission> {
    let Attempt { hash, cost, .. } = attempt;
    let (quotas, fields, generation) = match (chosen, &limit.plan) {
        (Some(Chosen { quotas, fields }), _) => (quotas, Some(fields), 0),
        (None, Plan::Same(current)) => {
            let same = current.get();
            (Arc::clone(&same.quotas), None, same.generation)
        }
        (None, Plan::PerKey(plan)) => (Arc::clone(&plan.given), None, 0),
    };
    let chosen = fields.is_some().then_some(&quotas[..]);
    let cached_as = limit.cached_as(hash, chosen, generation);
    let asked_at = client.now();
    let question = |fields, key| Question {
        quotas: Arc::clone(&quotas),
        fields,
        attempt,
        cached_as,
        key,
        generation,
    };
    match client.cache.spend(cached_as, asked_at, cost) {
        Known::Refused(refused) => {
            count(&client.stats.remembered);
            let fields = limit.fields(fields);
            return limit.refuse(attempt, &quotas, &fields, &refused);
        }
        Known::Blocked(rest) => {
            count(&client.stats.remembered);
            return limit.refuse_blocked(hash, rest);
        }
        Known::Leased { standings, moment } => {
            // Of a leased permit, only a receipt needs the digest, which takes longer than all the rest.
            let has_receipt = limit.keeps_charges();
            let digest = if has_receipt { digest() } else { [0; 16] };
            let question = question(fields, digest);
            return Decision::grant(limit.leased(client, question, standings, moment));
        }
        Known::Nothing => {}
    }
    let question = question(fields, digest());
    if Handle::try_current().is_err() {
        return limit.without_store(
            client,
            question,
            "a shared limit needs a tokio runtime".into(),
        );
    }
    let demand = client.demand(&question);
    let node = client.nodes.get(client.store.node(&demand));
    if !node.breaker.take_attempt(asked_at) {
        count(&client.stats.skipped);
        let error = "the node of the store has failed before, and is left alone for a while";
        return limit.without_store(client, question, error.into());
    }
    let (limit, client) = (Arc::clone(limit), Arc::clone(client));
    Decision::later(async move { limit.asked(&client, question, demand, &node, asked_at).await })
}

impl StoreClient {
    fn demand(&self, question: &Question) -> Demand {
        Demand {
            limit: Arc::clone(&self.limit),
            key: question.key,
            quotas: Arc::clone(&question.quotas),
            cost: question.attempt.cost,
            most: question.attempt.cost,
            // A request that waits is not refused yet.
            ban: self.ban.filter(|_| !question.attempt.may_wait),
        }
    }

    /// Waits for the first connection to the demand's node, if there never was one.
    async fn connected(&self, demand: &Demand) -> Result<(), BoxError> {
        let Some(connecting) = self.store.connecting(demand) else { return Ok(()) };
        let limit = self.connect_timeout;
        let late = TimedOut { what: "connection", limit };
        tokio::time::timeout(limit, connecting).await.map_err(|_| late)?
    }
}

impl<K: Key> Limit<K> {
    /// Returns the hash by which the local cache knows a key: together with quotas that were chosen for the request.
    pub(crate) fn cached_as(&self, hash: u64, chosen: Option<&[Quota]>, generation: u32) -> u64 {
        match chosen {
            None if generation == 0 => hash,
            // What is remembered of quotas that were replaced is not true of the new ones.
            None => self.hasher.hash_one(&(hash, generation)),
            Some(quotas) => self.hasher.hash_one(&(hash, quotas)),
        }
    }

    /// Asks the store.
    async fn asked(
        self: Arc<Self>,
        client: &Arc<StoreClient>,
        question: Question,
        demand: Demand,
        node: &Node,
        asked_at: u64,
    ) -> Result<Admission, Halt> {
        let answer = match client.connected(&demand).await {
            Ok(()) => {
                let most = client.most(&question, client.now());
                let demand = Demand { most, ..demand };
                client.charge(demand, question.cache_key(), asked_at).await
            }
            Err(error) => {
                // The store could not even be asked, which is a failure of it all the same.
                count(&client.stats.asked);
                Err(error)
            }
        };
        let waited = client.now().saturating_sub(asked_at);
        client.stats.waited.fetch_add(waited, Ordering::Relaxed);
        let (verdict, kept) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                client.record_failure(node, &error);
                return now(self.without_store(client, question, error));
            }
        };
        node.breaker.record_success();
        if let Some(block) = verdict.block
            && !block.is_new
        {
            return now(self.refuse_blocked(question.attempt.hash, nanos(block.rest)));
        }
        let standings = standings(&verdict.readings);
        if verdict.charged.is_none() {
            // Another request may have got a lease meanwhile.
            if client.lease > 0
                && verdict.block.is_none()
                && let Known::Leased { standings, moment } =
                    client.cache.spend(question.cached_as, client.now(), question.attempt.cost)
            {
                return Ok(self.leased(client, question, standings, moment));
            }
            let refused = refused(&verdict.readings, standings);
            let Question { attempt, quotas, fields, .. } = question;
            let fields = self.fields(fields);
            return now(match (verdict.block, client.ban) {
                (None, None) => self.refuse(attempt, &quotas, &fields, &refused),
                // The store has counted the refusal.
                (block, _) => {
                    let ban = block.map(|block| block.rest);
                    self.refuse_and_ban(attempt, &quotas, &fields, &refused, ban)
                }
            });
        }
        // The first request of a lease has the same standing as the next one will have.
        let standings = standings.map(|standing| standing.with_more(kept));
        let standings = standings.as_slice().into();
        let mut admission = self.admission(question.attempt.hash, standings, question.generation);
        self.keep_receipt(&mut admission, client, question, verdict.moment, false);
        Ok(admission)
    }

    /// Admits a request on permits that were leased before.
    fn leased(
        &self,
        client: &Arc<StoreClient>,
        question: Question,
        standings: Each<Standing>,
        moment: u64,
    ) -> Admission {
        count(&client.stats.leased);
        let standings = standings.as_slice().into();
        let mut admission = self.admission(question.attempt.hash, standings, question.generation);
        self.keep_receipt(&mut admission, client, question, moment, true);
        admission
    }

    /// Keeps in the grant what the response phase may need.
    fn keep_receipt(
        &self,
        admission: &mut Admission,
        client: &Arc<StoreClient>,
        question: Question,
        moment: u64,
        of_lease: bool,
    ) {
        if self.keeps_charges() && question.attempt.cost > 0 {
            let refund = Refund { moment, ..refund_of(&client.demand(&question)) };
            let receipt = Receipt {
                client: Arc::clone(client),
                cached_as: question.cached_as,
                refund,
                of_lease,
            };
            admission.rest_mut().charge = Some((Charge::Shared(receipt), question.attempt.cost));
        }
        self.note_near(&question.quotas, admission.standings());
        if let Some(fields) = question.fields {
            admission.rest_mut().chosen = Some(Chosen { quotas: question.quotas, fields });
        }
    }

    /// Decides about a request when the store does not.
    #[cold]
    fn without_store(
        &self,
        client: &StoreClient,
        question: Question,
        error: BoxError,
    ) -> Decision<Admission> {
        let fraction = match client.failure {
            Failure::Closed => {
                let retry = client.nodes.pause().max(Duration::from_secs(1));
                let error = ApiError::unavailable().with_retry_after(retry).with_source(error);
                return self.refuse_with(Some(question.attempt.hash), error);
            }
            Failure::Open => {
                let (hash, generation) = (question.attempt.hash, question.generation);
                return Decision::grant(self.admission(hash, PerQuota::None, generation));
            }
            Failure::Local(fraction) => fraction,
        };
        let Question { quotas, fields, attempt, .. } = question;
        let Attempt { hash, cost, .. } = attempt;
        match &self.plan {
            Plan::Same(current) => {
                let same = current.get();
                // These were made of the fraction.
                match counters::charge(&same.counters, hash, self.moment(), cost) {
                    Ok(charged) => Decision::grant(self.admit(
                        charged,
                        &same.counters,
                        hash,
                        cost,
                        same.generation,
                    )),
                    Err(refused) => self.refuse(attempt, &quotas, &same.fields, &refused),
                }
            }
            Plan::PerKey(plan) => {
                let parts = quotas.iter().map(|quota| quota.fraction(fraction));
                match plan.tables.counters(&parts.collect::<Vec<_>>()) {
                    Ok(counters) => {
                        let fields = fields.unwrap_or_default();
                        self.count_chosen(attempt, Chosen { quotas, fields }, &counters)
                    }
                    Err(error) => self.badly_chosen(hash, error),
                }
            }
        }
    }

    /// What responses say of the quotas: of those that were chosen for a request, or of those of all requests.
    fn fields(&self, chosen: Option<Arc<[Fields]>>) -> Arc<[Fields]> {
        match (chosen, &self.plan) {
            (Some(chosen), _) => chosen,
            (None, Plan::Same(current)) => Arc::clone(&current.get().fields),
            (None, Plan::PerKey(_)) => Arc::default(),
        }
    }
}

/// Returns the outcome of a decision that has nothing left to wait for.
fn now(decision: Decision<Admission>) -> Result<Admission, Halt> {
    match decision {
        Decision::Now(outcome) => outcome,
        Decision::Later(_) => {
            Err(ApiError::internal().with_source("a decision came later twice").into())
        }
    }
}
