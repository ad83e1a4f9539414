use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{BoxError, BoxFuture};

/// Where deliveries that were processed are remembered: [in memory](super::InMemoryReplays), in Redis with the feature
/// `redis`, or in a store of yours.
///
/// Across processes a claim has to be a lease, which ends when its process is gone, and should outlast the handler. It needs a
/// token of its own, so that who lost it can neither confirm nor give back what somebody else has claimed since.
///
/// ```
/// use std::{collections::HashMap, sync::{Arc, Mutex}};
/// use palisade_core::{BoxError, BoxFuture};
/// use palisade_webhook::{Claim, ReplayStore, Reservation, Retention};
///
/// /// A table over the network, as far as this example goes. It has no clock, and forgets nothing.
/// #[derive(Clone, Default)]
/// struct Table(Arc<Mutex<HashMap<String, bool>>>);
///
/// struct Row { table: Table, key: String, confirmed: bool }
///
/// impl ReplayStore for Table {
///     fn claim(&self, key: &str, _: Retention) -> BoxFuture<Result<Claim, BoxError>> {
///         let (table, key) = (self.clone(), key.to_owned());
///         Box::pin(async move {
///             let seen = table.0.lock().unwrap().get(&key).copied();
///             Ok(match seen {
///                 Some(true) => Claim::Processed,
///                 Some(false) => Claim::InProgress,
///                 None => {
///                     table.0.lock().unwrap().insert(key.clone(), false);
///                     Claim::First(Box::new(Row { table: table.clone(), key, confirmed: false }))
///                 }
///             })
///         })
///     }
/// }
///
/// impl Reservation for Row {
///     fn confirm(mut self: Box<Self>) -> BoxFuture<Result<(), BoxError>> {
///         Box::pin(async move {
///             self.confirmed = true;
///             self.table.0.lock().unwrap().insert(self.key.clone(), true);
///             Ok(())
///         })
///     }
/// }
///
/// impl Drop for Row {
///     fn drop(&mut self) {
///         if !self.confirmed {
///             // over a network: spawn it
///             self.table.0.lock().unwrap().remove(&self.key);
///         }
///     }
/// }
/// ```
pub trait ReplayStore: Send + Sync + 'static {
    /// Claims a delivery, unless it was claimed or processed before. Of claims at the same time one is the first.
    ///
    /// The key is visible ASCII but for what a namespace of yours adds, and at most 300 bytes longer than that. Only
    /// deliveries whose signature was verified are claimed.
    ///
    /// # Errors
    ///
    /// If it cannot tell, or has no room left. See [`Replays::accept_when_store_fails`](super::Replays::accept_when_store_fails).
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>>;
}

impl<S: ReplayStore + ?Sized> ReplayStore for Arc<S> {
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        S::claim(self, key, retention)
    }
}

/// How long a delivery that was processed is to be remembered, from when that is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// It must not be forgotten sooner, whatever else there is to remember: its timestamp would still be accepted.
    pub at_least: Duration,
    /// It should be remembered for so long: senders may try again.
    pub at_most: Duration,
}

/// What a store says of a delivery.
pub enum Claim {
    /// Nobody has it. It is the caller's until the reservation is confirmed or dropped.
    First(Box<dyn Reservation>),
    /// Its handler is running.
    InProgress,
    /// It was processed.
    Processed,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First(_) => "First",
            Self::InProgress => "InProgress",
            Self::Processed => "Processed",
        })
    }
}

/// A delivery that was claimed. Dropped without being confirmed, it gives the claim back, for the next attempt.
pub trait Reservation: Send + 'static {
    /// The delivery was processed, and is to be remembered.
    fn confirm(self: Box<Self>) -> BoxFuture<Result<(), BoxError>>;
}
