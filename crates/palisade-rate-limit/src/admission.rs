use std::{fmt, sync::Arc};

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
    /// What few limits need, out of the way of those that do not.
    rest: Option<Box<Rest>>,
}

#[derive(Default)]
pub(crate) struct Rest {
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
    pub(crate) table: Arc<Table>,
    pub(crate) meter: AnyMeter,
    pub(crate) key: u64,
    pub(crate) amount: u32,
}

impl Drop for Slot {
    fn drop(&mut self) {
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
        Self { standings, rest: None }
    }

    pub(crate) fn rest(&self) -> Option<&Rest> {
        self.rest.as_deref()
    }

    pub(crate) fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
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
