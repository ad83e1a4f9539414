//! Decides about a request by a shared store: by what this machine remembers, by the store, or without it.

use std::{sync::Arc, time::Duration};

use palisade_core::{ApiError, BoxError, Decision, Halt};
use tokio::runtime::Handle;

use crate::{
    Admission, Demand, Key, Quota, Standing, Verdict,
    admission::Charge,
    attempt::Attempt,
    counters,
    headers::QuotaFields,
    limiter::Limiter,
    per_quota::{PerQuota, QuotaArray},
    quota_source::{Chosen, QuotaSource},
    shared::{Cached, Failure, Node, StoreClient, StoreRequest, nanos, refused, standings},
};

/// A request that is being decided about.
struct Pending {
    attempt: Attempt,
    request: StoreRequest,
    /// The response fields of quotas that were chosen for this request.
    fields: Option<Arc<[QuotaFields]>>,
    /// The generation of the quotas.
    generation: u32,
}

impl<K: Key> Limiter<K> {
    /// Decides about a request by the cache of this machine, or after asking the store.
    pub(crate) fn decide_by_store(
        self: &Arc<Self>,
        client: &Arc<StoreClient>,
        digest: impl Fn() -> [u8; 16],
        attempt: Attempt,
        chosen: Option<Chosen>,
    ) -> Decision<Admission> {
        let Attempt { hash, cost, may_wait } = attempt;
        let (quotas, fields, generation) = match (chosen, &self.quotas) {
            (Some(Chosen { quotas, fields }), _) => (quotas, Some(fields), 0),
            (None, QuotaSource::Fixed(current)) => {
                let set = current.get();
                (Arc::clone(&set.quotas), None, set.generation)
            }
            (None, QuotaSource::PerRequest(chooser)) => (Arc::clone(&chooser.given), None, 0),
        };
        let chosen = fields.is_some().then_some(&quotas[..]);
        let cached_as = self.cached_as(hash, chosen, generation);
        let asked_at = client.now();
        let pending = |quotas, fields, key| Pending {
            attempt,
            request: StoreRequest { quotas, key, cached_as, cost, may_wait },
            fields,
            generation,
        };
        match client.spend(cached_as, asked_at, cost) {
            Cached::Refused(refused) => {
                let fields = self.fields(fields);
                return self.refuse(attempt, &quotas, &fields, &refused);
            }
            Cached::Blocked(blocked_for) => return self.refuse_blocked(hash, blocked_for),
            Cached::Leased { standings, moment } => {
                // Only a receipt contains the digest, which takes longer to compute than the rest of the decision.
                let digest = if self.keeps_charges() { digest() } else { [0; 16] };
                let pending = pending(quotas, fields, digest);
                return Decision::grant(self.admit_leased(client, pending, standings, moment));
            }
            Cached::Nothing => {}
        }
        let pending = pending(quotas, fields, digest());
        if Handle::try_current().is_err() {
            let error = "a shared limit needs a tokio runtime";
            return self.without_store(client, pending, error.into());
        }
        let demand = client.demand(&pending.request);
        let Some(node) = client.available_node(&demand, asked_at) else {
            let error = "the breaker of the store's node is open because the node has failed";
            return self.without_store(client, pending, error.into());
        };
        let (limit, client) = (Arc::clone(self), Arc::clone(client));
        Decision::later(async move { limit.ask(&client, pending, demand, &node, asked_at).await })
    }

    /// Returns the hash of a key in the local cache. It includes quotas that were chosen for the request, and the generation of
    /// the others, because a cached decision is valid only for its quotas.
    pub(crate) fn cached_as(&self, hash: u64, chosen: Option<&[Quota]>, generation: u32) -> u64 {
        match chosen {
            None if generation == 0 => hash,
            None => self.hasher.hash_one(&(hash, generation)),
            Some(quotas) => self.hasher.hash_one(&(hash, quotas)),
        }
    }

    /// Asks the store, and decides without it if it fails.
    async fn ask(
        self: Arc<Self>,
        client: &Arc<StoreClient>,
        pending: Pending,
        demand: Demand,
        node: &Node,
        asked_at: u64,
    ) -> Result<Admission, Halt> {
        match client.ask(&pending.request, demand, node, asked_at).await {
            Ok((verdict, kept)) => self.decide_by_verdict(client, pending, &verdict, kept),
            Err(error) => now(self.without_store(client, pending, error)),
        }
    }

    /// Decides by the store's verdict. `kept` is the number of permits that this machine has leased with it.
    fn decide_by_verdict(
        &self,
        client: &Arc<StoreClient>,
        pending: Pending,
        verdict: &Verdict,
        kept: u32,
    ) -> Result<Admission, Halt> {
        let Attempt { hash, cost, .. } = pending.attempt;
        if let Some(block) = verdict.block
            && !block.is_new
        {
            return now(self.refuse_blocked(hash, nanos(block.rest)));
        }
        let standings = standings(&verdict.readings);
        if verdict.charged.is_none() {
            // A concurrent request may have leased permits meanwhile.
            if verdict.block.is_none()
                && let Some((standings, moment)) =
                    client.spend_lease(pending.request.cached_as, cost)
            {
                return Ok(self.admit_leased(client, pending, standings, moment));
            }
            let refused = refused(&verdict.readings, standings);
            let Pending { attempt, request: StoreRequest { quotas, .. }, fields, .. } = pending;
            let fields = self.fields(fields);
            return now(if client.counts_bans() || verdict.block.is_some() {
                let ban = verdict.block.map(|block| block.rest);
                self.refuse_and_ban(attempt, &quotas, &fields, &refused, ban)
            } else {
                self.refuse(attempt, &quotas, &fields, &refused)
            });
        }
        // The leased permits count as remaining, as they do for the next request.
        let standings = standings.map(|standing| standing.with_more(kept));
        let mut admission = self.admission(hash, standings.as_slice().into(), pending.generation);
        self.keep_receipt(&mut admission, client, pending, verdict.moment, false);
        Ok(admission)
    }

    /// Admits a request on leased permits.
    fn admit_leased(
        &self,
        client: &Arc<StoreClient>,
        pending: Pending,
        standings: QuotaArray<Standing>,
        moment: u64,
    ) -> Admission {
        let standings = standings.as_slice().into();
        let mut admission = self.admission(pending.attempt.hash, standings, pending.generation);
        self.keep_receipt(&mut admission, client, pending, moment, true);
        admission
    }

    /// Stores in the grant what the response may need: the receipt of the charge and the chosen quotas.
    fn keep_receipt(
        &self,
        admission: &mut Admission,
        client: &Arc<StoreClient>,
        pending: Pending,
        moment: u64,
        of_lease: bool,
    ) {
        let cost = pending.attempt.cost;
        if self.keeps_charges() && cost > 0 {
            let receipt = client.receipt(&pending.request, moment, of_lease);
            admission.extras_mut().charge = Some((Charge::InStore(receipt), cost));
        }
        self.note_near(&pending.request.quotas, admission.standings());
        if let Some(fields) = pending.fields {
            let quotas = pending.request.quotas;
            admission.extras_mut().chosen = Some(Chosen { quotas, fields });
        }
    }

    /// Decides about a request after the store has failed.
    #[cold]
    fn without_store(
        &self,
        client: &StoreClient,
        pending: Pending,
        error: BoxError,
    ) -> Decision<Admission> {
        let Pending { attempt, request: StoreRequest { quotas, .. }, fields, generation } = pending;
        let Attempt { hash, cost, .. } = attempt;
        let fraction = match client.failure() {
            Failure::Closed => {
                let retry = client.pause().max(Duration::from_secs(1));
                let error = ApiError::unavailable().with_retry_after(retry).with_source(error);
                return self.refuse_with(Some(hash), error);
            }
            Failure::Open => {
                return Decision::grant(self.admission(hash, PerQuota::None, generation));
            }
            Failure::Local(fraction) => fraction,
        };
        match &self.quotas {
            QuotaSource::Fixed(current) => {
                let set = current.get();
                // The counters were built with the fraction.
                match counters::charge(&set.counters, hash, self.moment(), cost) {
                    Ok(charged) => Decision::grant(self.admit(
                        charged,
                        &set.counters,
                        hash,
                        cost,
                        set.generation,
                    )),
                    Err(refused) => self.refuse(attempt, &quotas, &set.fields, &refused),
                }
            }
            QuotaSource::PerRequest(chooser) => {
                let parts = quotas.iter().map(|quota| quota.fraction(fraction));
                match chooser.tables.counters(&parts.collect::<Vec<_>>()) {
                    Ok(counters) => {
                        let fields = fields.unwrap_or_default();
                        self.count_chosen(attempt, Chosen { quotas, fields }, &counters)
                    }
                    Err(error) => self.badly_chosen(hash, error),
                }
            }
        }
    }

    /// Returns the response fields of the quotas that were chosen for a request, or of the fixed ones.
    fn fields(&self, chosen: Option<Arc<[QuotaFields]>>) -> Arc<[QuotaFields]> {
        match (chosen, &self.quotas) {
            (Some(chosen), _) => chosen,
            (None, QuotaSource::Fixed(current)) => Arc::clone(&current.get().fields),
            (None, QuotaSource::PerRequest(_)) => Arc::default(),
        }
    }
}

/// Returns the outcome of a decision that is already made.
fn now(decision: Decision<Admission>) -> Result<Admission, Halt> {
    match decision {
        Decision::Now(outcome) => outcome,
        Decision::Later(_) => {
            Err(ApiError::internal().with_source("a decision was delayed twice").into())
        }
    }
}
