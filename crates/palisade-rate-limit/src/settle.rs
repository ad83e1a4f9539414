//! Costs that are known only when a request has been answered.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, response};
use palisade_core::{BodyEnd, WatchBody};

use crate::{admission::Charge, limiter::Shared};

/// What a request really cost, told by its handler. See [`RateLimitBuilder::settled`](crate::RateLimitBuilder::settled).
///
/// Clones share the value. A handler puts one into the extensions of its response, or takes the one that the limit left in
/// the extensions of the request and [sets](Self::set) or [adds](Self::add) to it while it streams.
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
    /// Returns a cost that is known already.
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

/// Settles a request when it is over, however it ends: on drop.
pub(crate) struct Settlement<K> {
    limit: Arc<Shared<K>>,
    charge: Charge,
    /// What the key is charged for the request now: at first what was reserved.
    charged: u32,
    cost: ActualCost,
}

/// A [`Settlement`] in a grant, which does not know the type of its limit's key.
pub(crate) trait Unsettled: Send + Sync {
    /// The response has come. What it says the cost is, in its extensions, is charged at once.
    fn answered(self: Box<Self>, response: &response::Parts) -> Box<dyn WatchBody>;
}

impl<K: Send + Sync + 'static> Settlement<K> {
    /// The settlement of a request that was charged `reserved`, when `cost` is known.
    pub(crate) fn new(
        limit: Arc<Shared<K>>,
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
        let told = response.extensions.get::<ActualCost>().cloned();
        let is_free = self.limit.settings.counts.as_ref().is_some_and(|counts| !counts(response));
        let told = if is_free { Some(ActualCost::new(0)) } else { told };
        // A handler that streams counts up the cost that it found on the request: until the end of the stream, what was
        // reserved stays charged, or streams at the same time would share it.
        if let Some(told) = told {
            self.cost = told;
            self.settle();
        }
        self
    }
}

impl<K: Send + Sync + 'static> WatchBody for Settlement<K> {
    fn trailers(&mut self, trailers: &HeaderMap) {
        let Some(name) = &self.limit.settings.cost_trailer else { return };
        if let Some(cost) = read(trailers, name) {
            self.cost.set(cost);
        }
    }

    /// Settled by the drop.
    fn end(self: Box<Self>, _: BodyEnd) {}
}

/// The number in a trailer, or `None` if there is no such trailer or it is not a number.
fn read(trailers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    trailers.get(name)?.to_str().ok()?.trim().parse().ok()
}

impl<K> Drop for Settlement<K> {
    fn drop(&mut self) {
        self.settle();
    }
}
