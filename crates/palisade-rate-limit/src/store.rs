//! The interface of stores that several machines share.

use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{BoxError, BoxFuture, ConfigError};

use crate::{Ban, Quota};

/// Stores the counts of a limit that several machines share.
///
/// A store decides about all quotas of a request in one atomic step and by its own clock, so that the clocks of the machines
/// may differ. It returns a [`Verdict`] or an error. [`SharedStore`](crate::SharedStore) handles errors, timeouts, retries and
/// circuit breakers.
///
/// ```
/// use std::{collections::HashMap, sync::{Arc, Mutex}, time::Duration};
/// use palisade_core::{BoxError, BoxFuture};
/// use palisade_rate_limit::{Demand, Fit, Reading, Refund, Store, Verdict};
///
/// /// Counts without expiry, for a test.
/// #[derive(Debug, Default)]
/// struct Tally(Arc<Mutex<HashMap<[u8; 16], u32>>>);
///
/// impl Store for Tally {
///     fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
///         let tally = Arc::clone(&self.0);
///         Box::pin(async move {
///             let mut tally = tally.lock().map_err(|_| "a thread panicked")?;
///             let used = tally.entry(demand.key).or_default();
///             let limit = demand.quotas[0].limit();
///             let charged = demand.most.min(limit.saturating_sub(*used));
///             let charged = if charged < demand.cost { None } else { Some(charged) };
///             *used += charged.unwrap_or(0);
///             let fit = if charged.is_some() { Fit::Fits } else { Fit::Never };
///             let reading = Reading { remaining: limit - *used, more_in: None, fit };
///             Ok(Verdict { charged, readings: vec![reading], ..Verdict::default() })
///         })
///     }
///
///     fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
///         let tally = Arc::clone(&self.0);
///         Box::pin(async move {
///             let mut tally = tally.lock().map_err(|_| "a thread panicked")?;
///             let used = tally.entry(refund.key).or_default();
///             *used = used.saturating_sub(refund.amount);
///             Ok(())
///         })
///     }
/// }
/// ```
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Checks all quotas of the demand and charges all of them or none, in one atomic step. A demand of cost 0 changes nothing.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached, or its response is not valid. The demand may have been charged nevertheless. Wrap an
    /// error that concerns only this key in a [`KeyError`].
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>>;

    /// Refunds a charge that does not count. Refunds at most the charge, and nothing of a window that is over.
    ///
    /// The limit repeats a refund with the same [`id`](Refund::id) until it succeeds. The store must apply it only once.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>>;

    /// Returns true if the store counts rejections for the [`ban`](Demand::ban) of a demand, and blocks keys. Default: false;
    /// each machine then bans keys by its own rejections.
    fn can_ban(&self) -> bool {
        false
    }

    /// Resets, blocks or unblocks a key for an operator, and notifies the machines that have [subscribed](Self::subscribe).
    /// Default: an error.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached, or does not support the action.
    fn intervene(&self, intervention: Intervention) -> BoxFuture<Result<(), BoxError>> {
        let _ = intervention;
        Box::pin(async { Err("this store can neither reset nor block a key".into()) })
    }

    /// Calls `forget` with each key of this limit for which any machine [intervened](Self::intervene), so that this machine
    /// removes the key from its cache. The subscription ends when `forget` returns false.
    ///
    /// Default: does nothing; other machines then notice an intervention when their
    /// [`refusal_ttl`](crate::SharedStore::refusal_ttl) and their leases expire.
    fn subscribe(&self, limit: &Arc<str>, forget: Forget) {
        let _ = (limit, forget);
    }

    /// Returns the node that stores the key of this demand. Each node has its own circuit breaker. Default: 0, a store of one
    /// node.
    fn node(&self, demand: &Demand) -> u64 {
        let _ = demand;
        0
    }

    /// Returns a future that completes when the node of this demand is connected for the first time. A request waits for it up
    /// to the [`connect_timeout`](crate::SharedStore::connect_timeout). Default: `None`, no wait.
    fn connecting(&self, demand: &Demand) -> Option<BoxFuture<Result<(), BoxError>>> {
        let _ = demand;
        None
    }

    /// Checks whether the store can count this quota exactly. Called when a limit is built. Default: `Ok`.
    ///
    /// # Errors
    ///
    /// If the store cannot count it, with the remedy.
    fn supports(&self, quota: &Quota) -> Result<(), ConfigError> {
        let _ = quota;
        Ok(())
    }
}

/// Removes a key from the cache of a machine. Returns false if the limit has been dropped.
pub type Forget = Arc<dyn Fn(&[u8; 16]) -> bool + Send + Sync>;

impl<S: Store + ?Sized> Store for Arc<S> {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        S::charge(self, demand)
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        S::refund(self, refund)
    }

    fn can_ban(&self) -> bool {
        S::can_ban(self)
    }

    fn intervene(&self, intervention: Intervention) -> BoxFuture<Result<(), BoxError>> {
        S::intervene(self, intervention)
    }

    fn subscribe(&self, limit: &Arc<str>, forget: Forget) {
        S::subscribe(self, limit, forget);
    }

    fn node(&self, demand: &Demand) -> u64 {
        S::node(self, demand)
    }

    fn connecting(&self, demand: &Demand) -> Option<BoxFuture<Result<(), BoxError>>> {
        S::connecting(self, demand)
    }

    fn supports(&self, quota: &Quota) -> Result<(), ConfigError> {
        S::supports(self, quota)
    }
}

/// An error that concerns one key, such as a value that another program wrote or a cluster slot that is being moved.
///
/// The circuit breaker does not count such an error, so the store is still asked about other keys.
///
/// ```
/// use palisade_core::BoxError;
/// use palisade_rate_limit::KeyError;
///
/// let error: BoxError = KeyError::new("the value of this key is not a count").into();
/// assert!(error.is::<KeyError>());
/// ```
#[derive(Debug)]
pub struct KeyError(BoxError);

impl KeyError {
    /// Wraps an error that concerns a single key.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for KeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// A command of an operator for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// The [`limit`](Demand::limit) of the demand.
    pub limit: Arc<str>,
    /// The [`key`](Demand::key) of the demand.
    pub key: [u8; 16],
    /// The action.
    pub action: Action,
}

/// The actions of operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Deletes the key's counts. A block remains.
    Reset,
    /// Rejects all demands of the key for this time from now. Replaces an earlier block and keeps the counts.
    Block(Duration),
    /// Ends a block and resets the number of earlier bans. Keeps the counts.
    Unblock,
}

/// The request of a limit to a [`Store`].
#[derive(Clone, Debug)]
pub struct Demand {
    /// The name of the limit. Limits with different names do not share counts.
    pub limit: Arc<str>,
    /// The digest of the client's key, the same on every machine.
    pub key: [u8; 16],
    /// The quotas, at least one, with different names.
    pub quotas: Arc<[Quota]>,
    /// The cost of the request. With 0 nothing is charged.
    pub cost: u32,
    /// The maximum charge, at least the cost: as much of it is charged as fits all quotas. It exceeds the cost if permits are
    /// leased.
    pub most: u32,
    /// The ban that a rejection counts for, if the limit has one and the store [can ban](Store::can_ban). Rejections of blocked
    /// keys and of demands of cost 0 do not count.
    pub ban: Option<Ban>,
}

/// The decision of a [`Store`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The charge of each quota, from the demand's cost to its maximum. `None` if the request is rejected and nothing was
    /// charged.
    pub charged: Option<u32>,
    /// The state of each quota of the demand, in the demand's order, also if the key is blocked.
    pub readings: Vec<Reading>,
    /// The time of the charge by the store's clock, in a unit of the store. A [`Refund`] repeats it.
    pub moment: u64,
    /// The block of the key, by an operator or by a ban. Blocked keys are not charged.
    pub block: Option<Block>,
}

/// The current block of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The remaining time.
    pub rest: Duration,
    /// True if this rejection has caused the block.
    pub is_new: bool,
}

/// The state of one quota of a key after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The remaining requests.
    pub remaining: u32,
    /// The time until there are more, or `None` if there never are.
    pub more_in: Option<Duration>,
    /// Whether the demand's cost fits this quota.
    pub fit: Fit,
}

/// Whether a cost fits a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It fits now.
    Fits,
    /// It fits after exactly this time, if nothing else is charged until then.
    After(Duration),
    /// It never fits, because the cost exceeds the limit.
    Never,
}

/// A refund of a limit to a [`Store`].
#[derive(Clone, Debug)]
pub struct Refund {
    /// The [`limit`](Demand::limit) of the demand.
    pub limit: Arc<str>,
    /// The [`key`](Demand::key) of the demand.
    pub key: [u8; 16],
    /// The [`quotas`](Demand::quotas) of the demand.
    pub quotas: Arc<[Quota]>,
    /// The amount, at most the charge.
    pub amount: u32,
    /// The [`Verdict::moment`] of the charge.
    pub moment: u64,
    /// The unique id of the refund. The store applies repeated refunds with the same id once.
    pub id: u64,
}
