use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use palisade_core::{ApiError, Outcome};

use crate::{
    Standing,
    algorithm::AnyMeter,
    counters::{Counter, Each},
    headers::Fields,
    table::Table,
};

/// What a [`RateLimit`](crate::RateLimit) knows of a request that it let pass: the grant of the policy.
pub struct Admission {
    /// Where the key stands with each quota, in their order. None if the request was not counted.
    standings: Each<Standing>,
    /// The key is only watched: whatever is found, the request passes.
    watched: bool,
    /// What few limits need, out of the way of those that do not.
    rest: Option<Box<Rest>>,
}

#[derive(Default)]
pub(crate) struct Rest {
    /// What a request would have been refused with whose key is only watched.
    would_be: Option<ApiError>,
    /// What the response says of quotas that were chosen for this request.
    pub(crate) fields: Option<Box<[Fields]>>,
    /// What is given back if the response turns out not to count.
    pub(crate) charge: Option<Charge>,
    /// Given back when they are dropped.
    pub(crate) slots: Vec<Slot>,
}

pub(crate) enum Charge {
    Here {
        key: u64,
        amount: u32,
        at: Each<u64>,
        counters: Option<Box<[Counter]>>,
    },
    #[cfg(feature = "store")]
    Shared(crate::shared::Receipt),
}

/// Slots of a [`Quota::concurrency`](crate::Quota::concurrency) that a request takes up.
pub(crate) struct Slot {
    table: Arc<Table>,
    meter: AnyMeter,
    key: u64,
    amount: u32,
    /// Of all keys.
    taken: Arc<AtomicU64>,
}

impl Slot {
    pub(crate) fn new(counter: &Counter, key: u64, amount: u32, taken: &Arc<AtomicU64>) -> Self {
        taken.fetch_add(amount.into(), Ordering::Relaxed);
        let (table, meter, taken) = (Arc::clone(&counter.table), counter.meter, Arc::clone(taken));
        Self { table, meter, key, amount, taken }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.amount.into(), Ordering::Relaxed);
        // no time is involved
        self.table.refund(&self.meter, self.key, 0, 0, self.amount);
    }
}

impl Admission {
    /// A request that is not counted.
    pub(crate) fn uncounted() -> Self {
        Self::standing_at(Each::none(Standing::new(0, None)))
    }

    pub(crate) fn standing_at(standings: Each<Standing>) -> Self {
        Self { standings, watched: false, rest: None }
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

    pub(crate) fn take_charge(&mut self) -> Option<Charge> {
        self.rest.as_mut()?.charge.take()
    }

    pub(crate) fn slots(self) -> Vec<Slot> {
        self.rest.map(|rest| rest.slots).unwrap_or_default()
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
