//! How a key is decided about: one try to charge it, which a request that waits repeats.

use std::sync::{Arc, atomic::Ordering};

use http::request;
use palisade_core::{ApiError, ConfigError, Decision};

#[cfg(feature = "store")]
use crate::shared;
use crate::{
    Admission, Key, Quota, RateLimit, RateLimitStatus, Standing, counters,
    headers::Fields,
    per_quota::PerQuota,
    plan::{PerKey, Plan},
    waiting::Patient,
};

/// One try to charge a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) hash: u64,
    pub(crate) cost: u32,
    /// A request that waits is not rejected yet.
    pub(crate) may_wait: bool,
}

/// Quotas that were chosen for one request, and what responses say of them.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(crate) quotas: Arc<[Quota]>,
    pub(crate) fields: Arc<[Fields]>,
}

impl<K: Key> RateLimit<K> {
    /// Decides about a key: of a request, or by the quotas that the limit was made with if there is no request.
    #[inline]
    pub(crate) fn decide_key(
        &self,
        key: &Option<K::Of<'_>>,
        cost: u32,
        request: Option<&request::Parts>,
    ) -> Decision<Admission> {
        let limit = &*self.shared;
        let hash = limit.hasher.hash_or_missing(key.as_ref());
        let attempt = Attempt { hash, cost, may_wait: false };
        let chosen = match &limit.plan {
            Plan::Same(_) => None,
            Plan::PerKey(plan) => match self.choose(plan, request) {
                Ok(chosen) => Some(chosen),
                Err(error) => return limit.badly_chosen(hash, error),
            },
        };
        #[cfg(feature = "store")]
        let digest = || limit.store.as_ref().map(|store| store.digest(key));
        #[cfg(not(feature = "store"))]
        let digest = || None::<[u8; 16]>;
        if let Some(waiting) = &limit.waiting
            && limit.is_enforced(Some(hash))
        {
            let (limit, waiting, digest) = (self.clone(), Arc::clone(waiting), digest());
            return Patient { limit, waiting, attempt, digest, chosen }.decide();
        }
        self.attempt(attempt, || digest().unwrap_or_default(), chosen)
    }

    /// Charges a key if it fits. A store knows the key by its digest, which takes longer than all the rest.
    #[inline]
    pub(crate) fn attempt(
        &self,
        attempt: Attempt,
        digest: impl Fn() -> [u8; 16],
        chosen: Option<Chosen>,
    ) -> Decision<Admission> {
        let limit = &*self.shared;
        let Attempt { hash, cost, .. } = attempt;
        if let Some(rest) = limit.blocks.rest(hash, || limit.now()) {
            return limit.refuse_blocked(hash, rest);
        }
        #[cfg(feature = "store")]
        if let Some(store) = &limit.store {
            if let Some(Err(error)) = chosen.as_ref().map(|chosen| store.supports(&chosen.quotas)) {
                return limit.badly_chosen(hash, error);
            }
            return shared::decide(&self.shared, store, digest, attempt, chosen);
        }
        let _ = digest;
        match (&limit.plan, chosen) {
            (Plan::PerKey(plan), Some(chosen)) => match plan.tables.counters(&chosen.quotas) {
                Ok(counters) => limit.count_chosen(attempt, chosen, &counters),
                Err(error) => limit.badly_chosen(hash, error),
            },
            (Plan::PerKey(_), None) => Decision::refuse(ApiError::internal()),
            (Plan::Same(current), _) => {
                let same = current.get();
                let now = limit.moment();
                if let ([counter], [quota]) = (&*same.counters, &*same.quotas)
                    && !limit.keeps_charges()
                    && limit.is_enforced(Some(hash))
                    && cost > 0
                    && let Some(standing) = counter.charge_known(hash, now, cost)
                {
                    if standing.has_less_than(quota.limit().div_ceil(10)) {
                        limit.stats.near.fetch_add(1, Ordering::Relaxed);
                    }
                    let standing = PerQuota::one(Standing::of_window(standing));
                    return Decision::grant(Admission::standing_at(standing, same.generation));
                }
                match counters::charge(&same.counters, hash, now, cost) {
                    Ok(charged) => {
                        limit.note_near(&same.quotas, charged.standings.as_slice());
                        let (counters, generation) = (&same.counters, same.generation);
                        Decision::grant(limit.admit(charged, counters, hash, cost, generation))
                    }
                    Err(refused) => limit.refuse(attempt, &same.quotas, &same.fields, &refused),
                }
            }
        }
    }

    /// Chooses the quotas of a request.
    ///
    /// # Errors
    ///
    /// If one of them is not valid.
    fn choose(
        &self,
        plan: &PerKey,
        request: Option<&request::Parts>,
    ) -> Result<Chosen, ConfigError> {
        let quotas = match request {
            None => Arc::clone(&plan.given),
            Some(request) => {
                let quotas = (plan.choose)(request.extensions.get(), request);
                let quotas = quotas.named_after(&self.shared.settings.name);
                quotas.check()?;
                quotas.iter().cloned().collect()
            }
        };
        let fields = quotas.iter().map(Fields::new).collect::<Result<_, _>>()?;
        Ok(Chosen { quotas, fields })
    }

    /// Returns what is left of the quotas of a request, if it was counted.
    pub(crate) fn status(&self, admission: &Admission) -> Option<RateLimitStatus> {
        if admission.standings().is_empty() {
            return None;
        }
        let chosen = admission.rest().and_then(|rest| rest.chosen.as_ref());
        let quotas = match (chosen, &self.shared.plan) {
            (Some(chosen), _) => Arc::clone(&chosen.quotas),
            (None, Plan::Same(current)) => {
                let same = current.get();
                if same.generation != admission.generation {
                    return None;
                }
                Arc::clone(&same.quotas)
            }
            (None, Plan::PerKey(_)) => return None,
        };
        Some(RateLimitStatus::new(quotas, admission.all_standings()))
    }
}
