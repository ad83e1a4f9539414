//! The state that all clones of a limit share, and how charges are changed later.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use http::{HeaderName, request, response};
use palisade_core::{Clock, ConfigError};

#[cfg(feature = "store")]
use crate::shared;
use crate::{
    Admission, MissingKey, Quota, QuotaHeaders, Quotas, Standing,
    admission::Charge,
    blocks::Blocks,
    counters::{self, Charged, Counter, Now, monotonic},
    key::hash::KeyHash,
    per_quota::PerQuota,
    quota_source::{QuotaSet, QuotaSource},
    waiting::Waiting,
};

/// The state of one limit.
pub(crate) struct Limiter<K> {
    pub(crate) key: K,
    pub(crate) quotas: QuotaSource,
    pub(crate) settings: Settings,
    pub(crate) hasher: KeyHash,
    pub(crate) blocks: Blocks,
    pub(crate) waiting: Option<Arc<Waiting>>,
    pub(crate) stats: Stats,
    pub(crate) missing_key_logged: AtomicBool,
    pub(crate) invalid_quota_logged: AtomicBool,
    pub(crate) floor_logged: Mutex<FloorLogged>,
    #[cfg(feature = "store")]
    pub(crate) store: Option<Arc<shared::StoreClient>>,
}

/// Counts of decisions, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) rejected: AtomicU64,
    /// How many of the rejected requests had a blocked key.
    pub(crate) blocked: AtomicU64,
    /// How many admitted requests left less than a tenth of a quota.
    pub(crate) near: AtomicU64,
}

/// The last log line about requests that were rejected because of evicted keys.
#[derive(Default)]
pub(crate) struct FloorLogged {
    /// How many requests had been rejected then.
    pub(crate) rejected: u64,
    /// When the next line may be logged, on the monotonic clock.
    pub(crate) next_at: u64,
}

/// The settings that are the same for all keys.
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cost: Option<Box<CostOf>>,
    pub(crate) skip: Option<Box<Matches>>,
    pub(crate) counts: Option<Box<Counts>>,
    pub(crate) missing_key: MissingKey,
    pub(crate) headers: QuotaHeaders,
    /// Keys whose hash is below this value are enforced; all others are only observed.
    pub(crate) enforced: u64,
    /// Costs are settled when requests have ended.
    pub(crate) settles: bool,
    /// Requests carry a `RateLimitStatus`.
    pub(crate) has_status: bool,
    /// The trailer that contains the cost of a request.
    pub(crate) cost_trailer: Option<HeaderName>,
}

impl Settings {
    /// Returns true if a charge may change after the response.
    pub(crate) fn changes_charges(&self) -> bool {
        self.counts.is_some() || self.settles
    }
}

pub(crate) type CostOf = dyn Fn(&request::Parts) -> u32 + Send + Sync;
pub(crate) type Matches = dyn Fn(&request::Parts) -> bool + Send + Sync;
pub(crate) type Counts = dyn Fn(&response::Parts) -> bool + Send + Sync;

#[inline(never)]
fn keep_charge(admission: &mut Admission, charge: Charge, amount: u32) {
    admission.extras_mut().charge = Some((charge, amount));
}

impl<K> Limiter<K> {
    /// Returns the time of the monotonic clock, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        monotonic(&*self.settings.clock)
    }

    /// Returns the time for a decision.
    pub(crate) fn moment(&self) -> Now<'_> {
        Now::read(&*self.settings.clock)
    }

    /// Returns the grant of a request that was charged on this machine.
    #[inline]
    pub(crate) fn admit(
        &self,
        charged: Charged,
        counters: &[Counter],
        key: u64,
        amount: u32,
        generation: u32,
    ) -> Admission {
        let Charged { standings, at } = charged;
        let mut admission = self.admission(key, standings, generation);
        if self.keeps_charges() {
            let charge = Charge::Local { key, at, counters: counters.into() };
            keep_charge(&mut admission, charge, amount);
        }
        admission
    }

    /// Returns true if a charge may change after the response.
    pub(crate) fn keeps_charges(&self) -> bool {
        self.settings.changes_charges()
    }

    /// Returns a grant that reports the standings in the response, or one that reports nothing if the key is only observed.
    #[inline]
    pub(crate) fn admission(
        &self,
        hash: u64,
        standings: PerQuota<Standing>,
        generation: u32,
    ) -> Admission {
        if self.is_enforced(Some(hash)) {
            Admission::standing_at(standings, generation)
        } else {
            Admission::observed()
        }
    }

    /// Counts a request that leaves less than a tenth of a quota.
    #[inline]
    pub(crate) fn note_near(&self, quotas: &[Quota], standings: &[Standing]) {
        let mut quotas = quotas.iter().zip(standings);
        let is_near = |(quota, standing): (&Quota, &Standing)| {
            standing.has_less_than(quota.limit().div_ceil(10))
        };
        if quotas.any(is_near) {
            self.stats.near.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns true if the limit rejects requests of this key. Requests without a key are rejected unless the limit only
    /// observes.
    #[inline]
    pub(crate) fn is_enforced(&self, hash: Option<u64>) -> bool {
        let enforced = self.settings.enforced;
        enforced == u64::MAX || hash.map_or(enforced > 0, |hash| hash < enforced)
    }

    /// Returns the charge of a request if its response does not count.
    pub(crate) fn settle(&self, charge: &Charge, amount: u32, response: &response::Parts) {
        if self.settings.counts.as_ref().is_some_and(|counts| !counts(response)) {
            self.give_back(charge, amount);
        }
    }

    /// Returns a part of a charge, as far as it still counts.
    pub(crate) fn give_back(&self, charge: &Charge, amount: u32) {
        match charge {
            Charge::Local { key, at, counters } => {
                counters::give_back(counters, *key, self.moment(), amount, at.as_slice());
            }
            #[cfg(feature = "store")]
            Charge::InStore(receipt) => receipt.give_back(amount),
        }
    }

    /// Charges more than was charged before, as far as there is room.
    pub(crate) fn charge_more(&self, charge: &Charge, amount: u32) {
        match charge {
            Charge::Local { key, counters, .. } => {
                let now = self.moment();
                for counter in counters {
                    counters::charge_more(counter, *key, now, amount);
                }
            }
            #[cfg(feature = "store")]
            Charge::InStore(receipt) => receipt.charge_more(amount),
        }
    }

    /// Replaces the quotas.
    ///
    /// # Errors
    ///
    /// If a quota is not valid, or quotas are chosen for each request.
    pub(crate) fn replace(&self, quotas: Quotas) -> Result<(), ConfigError> {
        let QuotaSource::Fixed(current) = &self.quotas else {
            let remedy =
                "this limit chooses quotas for each request: change what its closure returns";
            return Err(ConfigError::new("quotas", format_args!("{quotas:?}"), remedy));
        };
        let quotas = quotas.named_after(&self.settings.name);
        QuotaSet::check(&quotas)?;
        #[cfg(feature = "store")]
        if let Some(store) = &self.store {
            store.supports(&quotas.iter().cloned().collect::<Vec<_>>())?;
        }
        current.replace(&quotas)
    }
}
