//! Costs that are known only after the response.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, response};
use palisade_core::{BodyEnd, WatchBody};

use crate::{
    admission::{Charge, Unsettled},
    limiter::Limiter,
};

/// The actual cost of a request, set by its handler. See [`RateLimitBuilder::settled`](crate::RateLimitBuilder::settled).
///
/// Clones share the value. A handler inserts one into the extensions of its response, or clones the one in the extensions of
/// the request and [sets](Self::set) it or [adds](Self::add) to it while it streams.
///
/// ```
/// use palisade_rate_limit::ActualCost;
///
/// let cost = ActualCost::new(120);
/// cost.add(7);
/// assert_eq!(cost.get(), Some(127));
/// assert_eq!(ActualCost::default().get(), None);
/// ```
#[derive(Clone)]
pub struct ActualCost(Arc<AtomicU64>);

const UNKNOWN: u64 = u64::MAX;

impl ActualCost {
    /// Creates a cost that is known.
    pub fn new(cost: u32) -> Self {
        Self(Arc::new(AtomicU64::new(cost.into())))
    }

    /// Sets the cost.
    pub fn set(&self, cost: u32) {
        self.0.store(cost.into(), Ordering::Relaxed);
    }

    /// Adds to the cost. An unknown cost counts as 0 before.
    pub fn add(&self, more: u32) {
        let add = |cost| Some(if cost == UNKNOWN { 0 } else { cost } + u64::from(more));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Returns the cost, at most `u32::MAX`. `None` if it is not known yet.
    pub fn get(&self) -> Option<u32> {
        let cost = self.0.load(Ordering::Relaxed);
        (cost != UNKNOWN).then(|| u32::try_from(cost).unwrap_or(u32::MAX))
    }
}

/// A cost that is not known yet.
impl Default for ActualCost {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(UNKNOWN)))
    }
}

impl fmt::Debug for ActualCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActualCost").field(&self.get()).finish()
    }
}

/// Settles the cost of a request when it is dropped, so also if the request is cancelled.
pub(crate) struct Settlement<K> {
    limit: Arc<Limiter<K>>,
    charge: Charge,
    /// The current charge of the request: the reserved cost at first.
    charged: u32,
    cost: ActualCost,
}

impl<K: Send + Sync + 'static> Settlement<K> {
    /// Creates the settlement of a request that was charged `reserved` and will be charged `cost`.
    pub(crate) fn new(
        limit: Arc<Limiter<K>>,
        charge: Charge,
        reserved: u32,
        cost: ActualCost,
    ) -> Self {
        Self { limit, charge, charged: reserved, cost }
    }
}

impl<K> Settlement<K> {
    fn settle(&mut self) {
        let Some(cost) = self.cost.get() else { return };
        match cost.checked_sub(self.charged) {
            Some(0) => {}
            Some(more) => self.limit.charge_more(&self.charge, more),
            None => self.limit.give_back(&self.charge, self.charged - cost),
        }
        self.charged = cost;
    }
}

impl<K: Send + Sync + 'static> Unsettled for Settlement<K> {
    fn answered(mut self: Box<Self>, response: &response::Parts) -> Box<dyn WatchBody> {
        let reported = response.extensions.get::<ActualCost>().cloned();
        let is_free = self.limit.settings.counts.as_ref().is_some_and(|counts| !counts(response));
        let reported = if is_free { Some(ActualCost::new(0)) } else { reported };
        // A streaming handler adds to the cost of the request. Until the end of the stream the reserved cost stays charged;
        // otherwise concurrent streams could spend it again.
        if let Some(reported) = reported {
            self.cost = reported;
            self.settle();
        }
        self
    }
}

impl<K: Send + Sync + 'static> WatchBody for Settlement<K> {
    fn trailers(&mut self, trailers: &HeaderMap) {
        let Some(name) = &self.limit.settings.cost_trailer else { return };
        if let Some(cost) = cost_in(trailers, name) {
            self.cost.set(cost);
        }
    }

    /// Does nothing: the drop settles the cost.
    fn end(self: Box<Self>, _: BodyEnd) {}
}

/// Returns the number in a trailer. `None` if the trailer is missing or not a number.
fn cost_in(trailers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    trailers.get(name)?.to_str().ok()?.trim().parse().ok()
}

impl<K> Drop for Settlement<K> {
    fn drop(&mut self) {
        self.settle();
    }
}
