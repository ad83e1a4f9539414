use std::fmt;

use http::response;
use palisade_core::{ApiError, Outcome, WatchBody};

use crate::{Standing, counters::Counter, per_quota::PerQuota, quota_source::Chosen};

/// The grant of a [`RateLimit`](crate::RateLimit): what a request was charged, and what its response reports.
pub struct Admission {
    /// The standing with each quota, in their order. Empty if the request was not counted.
    standings: PerQuota<Standing>,
    /// The key is only observed: the request is admitted in any case.
    observed: bool,
    /// The generation of the quotas, which may be replaced before the response.
    pub(crate) generation: u32,
    /// The parts that few limits need, boxed to keep the grant small.
    extras: Option<Box<Extras>>,
}

#[derive(Default)]
pub(crate) struct Extras {
    /// The error that an observed key would have been rejected with.
    would_be: Option<ApiError>,
    /// Quotas that were chosen for this request.
    pub(crate) chosen: Option<Chosen>,
    /// The charge and its amount, if it may change after the response.
    pub(crate) charge: Option<(Charge, u32)>,
    /// Settles the cost when it is dropped.
    pub(crate) unsettled: Option<Box<dyn Unsettled>>,
}

/// Where and when a request was charged.
pub(crate) enum Charge {
    Local {
        key: u64,
        at: PerQuota<u64>,
        counters: Box<[Counter]>,
    },
    #[cfg(feature = "store")]
    InStore(crate::shared::Receipt),
}

/// A cost that is not settled yet, without the type of its limit's key.
pub(crate) trait Unsettled: Send + Sync {
    /// Reads the cost from the response's extensions, and charges it at once if present. Returns the watcher of the body.
    fn answered(self: Box<Self>, response: &response::Parts) -> Box<dyn WatchBody>;
}

impl Admission {
    /// Returns the grant of a request that is not counted.
    pub(crate) fn uncounted() -> Self {
        Self::standing_at(PerQuota::None, 0)
    }

    #[inline]
    pub(crate) fn standing_at(standings: PerQuota<Standing>, generation: u32) -> Self {
        Self { standings, observed: false, generation, extras: None }
    }

    /// Returns the grant of an observed key that is within its quotas.
    pub(crate) fn observed() -> Self {
        Self { observed: true, ..Self::uncounted() }
    }

    /// Returns the grant of an observed key that is over its quotas.
    pub(crate) fn would_refuse(refusal: ApiError) -> Self {
        let mut admission = Self::observed();
        admission.extras_mut().would_be = Some(refusal);
        admission
    }

    /// Returns the outcome that the limit would have had if the key were enforced. `None` if it is enforced.
    pub(crate) fn trial_outcome(&self) -> Option<Outcome> {
        let refusal = self.extras().and_then(|extras| extras.would_be.as_ref());
        self.observed.then(|| refusal.map_or(Outcome::Granted, Outcome::of_error))
    }

    pub(crate) fn extras(&self) -> Option<&Extras> {
        self.extras.as_deref()
    }

    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Returns a copy of the standings.
    pub(crate) fn all_standings(&self) -> PerQuota<Standing> {
        self.standings.clone()
    }

    pub(crate) fn take_unsettled(&mut self) -> Option<Box<dyn Unsettled>> {
        self.extras.as_mut()?.unsettled.take()
    }

    pub(crate) fn take_charge(&mut self) -> Option<(Charge, u32)> {
        self.extras.as_mut()?.charge.take()
    }

    /// Returns the standing of the client with each quota of the limit, in the order of the quotas. Empty if the request was
    /// not counted.
    pub fn standings(&self) -> &[Standing] {
        self.standings.as_slice()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("standings", &self.standings()).finish_non_exhaustive()
    }
}
