//! One attempt to charge a key. A request that waits makes several.

use std::sync::{Arc, atomic::Ordering};

use palisade_core::{ApiError, Decision};

use crate::{
    Admission, Key, Standing,
    counters::{self, Counter},
    limiter::Limiter,
    per_quota::PerQuota,
    quota_source::{Chosen, QuotaSource},
};

/// An attempt to charge a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) hash: u64,
    pub(crate) cost: u32,
    /// The request waits if it is rejected, so the rejection is not counted.
    pub(crate) may_wait: bool,
}

impl<K: Key> Limiter<K> {
    /// Charges a key if it fits. `digest` is called only for a store: computing it takes longer than the rest of the decision.
    #[inline]
    pub(crate) fn attempt(
        self: &Arc<Self>,
        attempt: Attempt,
        digest: impl Fn() -> [u8; 16],
        chosen: Option<Chosen>,
    ) -> Decision<Admission> {
        let limit = &**self;
        let Attempt { hash, cost, .. } = attempt;
        if let Some(blocked_for) = limit.blocks.blocked_for(hash, || limit.now()) {
            return limit.refuse_blocked(hash, blocked_for);
        }
        #[cfg(feature = "store")]
        if let Some(store) = &limit.store {
            if let Some(Err(error)) = chosen.as_ref().map(|chosen| store.supports(&chosen.quotas)) {
                return limit.badly_chosen(hash, error);
            }
            return self.decide_by_store(store, digest, attempt, chosen);
        }
        let _ = digest;
        match (&limit.quotas, chosen) {
            (QuotaSource::PerRequest(chooser), Some(chosen)) => {
                match chooser.tables.counters(&chosen.quotas) {
                    Ok(counters) => limit.count_chosen(attempt, chosen, &counters),
                    Err(error) => limit.badly_chosen(hash, error),
                }
            }
            (QuotaSource::PerRequest(_), None) => Decision::refuse(ApiError::internal()),
            (QuotaSource::Fixed(current), _) => {
                let set = current.get();
                let now = limit.moment();
                if let ([counter], [quota]) = (&*set.counters, &*set.quotas)
                    && !limit.keeps_charges()
                    && limit.is_enforced(Some(hash))
                    && cost > 0
                    && let Some(standing) = counter.charge_known(hash, now, cost)
                {
                    if standing.has_less_than(quota.limit().div_ceil(10)) {
                        limit.stats.near.fetch_add(1, Ordering::Relaxed);
                    }
                    let standing = PerQuota::one(Standing::from_window(standing));
                    return Decision::grant(Admission::standing_at(standing, set.generation));
                }
                match counters::charge(&set.counters, hash, now, cost) {
                    Ok(charged) => {
                        limit.note_near(&set.quotas, charged.standings.as_slice());
                        let (counters, generation) = (&set.counters, set.generation);
                        Decision::grant(limit.admit(charged, counters, hash, cost, generation))
                    }
                    Err(refused) => limit.refuse(attempt, &set.quotas, &set.fields, &refused),
                }
            }
        }
    }
}

impl<K> Limiter<K> {
    /// Charges a request by the quotas that were chosen for it.
    pub(crate) fn count_chosen(
        &self,
        attempt: Attempt,
        chosen: Chosen,
        counters: &[Counter],
    ) -> Decision<Admission> {
        let (Attempt { hash, cost, .. }, Chosen { quotas, fields }) = (attempt, &chosen);
        match counters::charge(counters, hash, self.moment(), cost) {
            Ok(charged) => {
                self.note_near(quotas, charged.standings.as_slice());
                let mut admission = self.admit(charged, counters, hash, cost, 0);
                admission.extras_mut().chosen = Some(chosen);
                Decision::grant(admission)
            }
            Err(refused) => self.refuse(attempt, quotas, fields, &refused),
        }
    }
}
