//! What a limit asks of a store that several machines share.

use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{BoxError, BoxFuture, ConfigError};

use crate::{Ban, Quota};

/// Stores the counts of a limit that several machines share.
///
/// A store decides about all quotas of a request in one atomic step and by its own clock, so that the machines need not
/// agree on the time. It answers with a [`Verdict`] or with an error. What an error means for the request is the
/// business of [`SharedStore`](crate::SharedStore), and so are time-outs, retries and breakers.
///
/// ```
/// use std::{collections::HashMap, sync::{Arc, Mutex}, time::Duration};
/// use palisade_core::{BoxError, BoxFuture};
/// use palisade_rate_limit::{Demand, Fit, Reading, Refund, Store, Verdict};
///
/// /// Counts and never expires: for a test.
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
    /// Checks every quota of the demand and charges all of them or none, in one atomic step. A demand of cost 0 is a
    /// look: it changes nothing.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached, or its answer is not valid. The demand may have been charged nevertheless. An
    /// error that concerns this key alone is wrapped in a [`KeyError`].
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>>;

    /// Returns permits that were charged and turned out not to count. Never returns more than was charged, and nothing
    /// of a window that is over.
    ///
    /// The limit repeats a refund with the same [`id`](Refund::id) until the store has answered. A store that took it
    /// the first time does nothing then.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>>;

    /// Returns true if the store counts refusals for the [`ban`](Demand::ban) of a demand, and blocks keys by it. Default:
    /// false; each machine then bans by the refusals that it has seen itself.
    fn can_ban(&self) -> bool {
        false
    }

    /// Carries out what an operator orders for one key: reset, block or unblock. It then tells the machines that
    /// [subscribed](Self::subscribe).
    ///
    /// The default is for stores that cannot: it returns an error.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached, or cannot do this.
    fn intervene(&self, intervention: Intervention) -> BoxFuture<Result<(), BoxError>> {
        let _ = intervention;
        Box::pin(async { Err("this store can neither reset nor block a key".into()) })
    }

    /// Calls `forget` with each key of this limit for which any machine [intervened](Self::intervene), so that a machine
    /// drops what it remembers of the key. The subscription ends when `forget` returns false.
    ///
    /// The default does nothing: other machines then see an intervention when their
    /// [`refusal_ttl`](crate::SharedStore::refusal_ttl) and their leases are over.
    fn subscribe(&self, limit: &Arc<str>, forget: Forget) {
        let _ = (limit, forget);
    }

    /// Returns which node of the store keeps the key of this demand. Keys of one node fail together, so a limit has one
    /// breaker for each node. Default: 0, a store of one node.
    fn node(&self, demand: &Demand) -> u64 {
        let _ = demand;
        0
    }

    /// Returns a future that is over when the node of this demand is connected, if it never was. A request waits for it
    /// up to the [`connect_timeout`](crate::SharedStore::connect_timeout). Default: `None`, nothing to wait for.
    fn connecting(&self, demand: &Demand) -> Option<BoxFuture<Result<(), BoxError>>> {
        let _ = demand;
        None
    }

    /// Checks whether the store can count this quota exactly. Called when a limit is built.
    ///
    /// # Errors
    ///
    /// If it cannot, with the remedy.
    fn supports(&self, quota: &Quota) -> Result<(), ConfigError> {
        let _ = quota;
        Ok(())
    }
}

/// Drops what a machine remembers of a key. Returns false when the limit is gone.
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
/// A limit fails the request of this key, as its [`SharedStore`](crate::SharedStore) says, and goes on asking the store for
/// all others: the breaker does not count it.
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
    /// Marks an error as one of a single key.
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

/// What an operator orders for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// As in the [`Demand`].
    pub limit: Arc<str>,
    /// As in the [`Demand`].
    pub key: [u8; 16],
    /// What is ordered.
    pub action: Action,
}

/// What an operator can order for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Deletes the key's counts: it starts with whole quotas. A block stays.
    Reset,
    /// Refuses every demand of the key for this long, from now on. Replaces an earlier block. Counts stay.
    Block(Duration),
    /// Ends a block, and forgets the bans that the key has earned. Counts stay.
    Unblock,
}

/// What a limit asks of a [`Store`].
#[derive(Clone, Debug)]
pub struct Demand {
    /// The name of the limit. Limits of different names never share a count.
    pub limit: Arc<str>,
    /// The digest of the client's key, the same on every machine.
    pub key: [u8; 16],
    /// The quotas that apply, at least one. They have different names.
    pub quotas: Arc<[Quota]>,
    /// The least that must be charged for the request to pass. 0 is a look.
    pub cost: u32,
    /// The most that may be charged, at least the cost: as much of it as fits all quotas. More than the cost only
    /// where permits are taken in advance.
    pub most: u32,
    /// What a refusal counts for, if the limit has a ban and the store [can ban](Store::can_ban). The refusal of a key that
    /// is blocked does not count, and neither does that of a look.
    pub ban: Option<Ban>,
}

/// The answer of a [`Store`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was charged to each quota, from the demand's cost to its most; `None` if the request is refused, and then
    /// nothing was charged to any.
    pub charged: Option<u32>,
    /// How each quota of the demand stands now, in the demand's order, whether the key is blocked or not.
    pub readings: Vec<Reading>,
    /// When it was charged, by the store's clock and in a unit of its own: a [`Refund`] names it.
    pub moment: u64,
    /// The block of the key, by an operator or by a ban. A blocked key is charged nothing.
    pub block: Option<Block>,
}

/// A block of a key that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// How long it lasts from now on.
    pub rest: Duration,
    /// True if this refusal has earned it.
    pub is_new: bool,
}

/// How one quota of a key stands after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How much is left.
    pub remaining: u32,
    /// How long until there is more, if ever.
    pub more_in: Option<Duration>,
    /// Whether the demand's cost fitted into this quota.
    pub fit: Fit,
}

/// Whether a cost fits into a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Now.
    Fits,
    /// After exactly this time, if nothing else is charged meanwhile.
    After(Duration),
    /// Never by waiting: it costs more than the limit.
    Never,
}

/// What a limit returns to a [`Store`].
#[derive(Clone, Debug)]
pub struct Refund {
    /// As in the [`Demand`].
    pub limit: Arc<str>,
    /// As in the [`Demand`].
    pub key: [u8; 16],
    /// As in the [`Demand`].
    pub quotas: Arc<[Quota]>,
    /// How much, at most what was charged.
    pub amount: u32,
    /// The [`Verdict::moment`] of the charge.
    pub moment: u64,
    /// Tells this refund from all others of the fleet: the store takes it once, however often it is repeated.
    pub id: u64,
}
