use std::fmt;

use palisade_core::{ApiError, Outcome};

use crate::{Standing, attempt::Chosen, counters::Counter, per_quota::PerQuota, settle::Unsettled};

/// What a [`RateLimit`](crate::RateLimit) knows of a request that it let pass: the grant of the policy.
pub struct Admission {
    /// Where the key stands with each quota, in their order. None if the request was not counted.
    standings: PerQuota<Standing>,
    /// The key is only watched: whatever is found, the request passes.
    watched: bool,
    /// Of the quotas that the standings are of: they may be replaced before the response comes.
    pub(crate) generation: u32,
    /// What few limits need, out of the way of those that do not.
    rest: Option<Box<Rest>>,
}

#[derive(Default)]
pub(crate) struct Rest {
    /// What a request would have been refused with whose key is only watched.
    would_be: Option<ApiError>,
    /// Quotas that were chosen for this request.
    pub(crate) chosen: Option<Chosen>,
    /// What was charged and how much, if that may change when the response comes.
    pub(crate) charge: Option<(Charge, u32)>,
    /// Settles the cost when it is dropped.
    pub(crate) unsettled: Option<Box<dyn Unsettled>>,
}

/// Where and when a request was charged.
pub(crate) enum Charge {
    Here {
        key: u64,
        at: PerQuota<u64>,
        counters: Box<[Counter]>,
    },
    #[cfg(feature = "store")]
    Shared(crate::shared::Receipt),
}

impl Admission {
    /// A request that is not counted.
    pub(crate) fn uncounted() -> Self {
        Self::standing_at(PerQuota::None, 0)
    }

    #[inline]
    pub(crate) fn standing_at(standings: PerQuota<Standing>, generation: u32) -> Self {
        Self { standings, watched: false, generation, rest: None }
    }

    /// A request that passes because its key is only watched, and that would pass otherwise too.
    pub(crate) fn watched() -> Self {
        Self { watched: true, ..Self::uncounted() }
    }

    /// A request that passes because its key is only watched.
    pub(crate) fn instead_of(refusal: ApiError) -> Self {
        let mut admission = Self::watched();
        admission.rest_mut().would_be = Some(refusal);
        admission
    }

    /// What would have become of the request if its key were not only watched.
    pub(crate) fn would_have_been(&self) -> Option<Outcome<'_>> {
        let refusal = self.rest().and_then(|rest| rest.would_be.as_ref());
        self.watched.then(|| refusal.map_or(Outcome::Granted, Outcome::of_error))
    }

    pub(crate) fn rest(&self) -> Option<&Rest> {
        self.rest.as_deref()
    }

    pub(crate) fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// Returns where the key stands, as a copy.
    pub(crate) fn all_standings(&self) -> PerQuota<Standing> {
        self.standings.clone()
    }

    pub(crate) fn take_unsettled(&mut self) -> Option<Box<dyn Unsettled>> {
        self.rest.as_mut()?.unsettled.take()
    }

    pub(crate) fn take_charge(&mut self) -> Option<(Charge, u32)> {
        self.rest.as_mut()?.charge.take()
    }

    /// Where the client stands with each quota of the limit, in the order in which they were given; empty for a request
    /// that was not counted.
    pub fn standings(&self) -> &[Standing] {
        self.standings.as_slice()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("standings", &self.standings()).finish_non_exhaustive()
    }
}
