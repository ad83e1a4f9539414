use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{BoxError, BoxFuture};

/// Stores processed deliveries: [in memory](super::InMemoryReplays), in Redis (feature `redis`), or in your own store.
///
/// A claim of a store that several processes share must be a lease, which expires if its process crashes and is longer than the
/// handler runs. Each claim needs its own token, so that a process whose lease expired can neither confirm nor release the claim
/// of another one.
///
/// ```
/// use std::{collections::HashMap, sync::{Arc, Mutex}};
/// use palisade_core::{BoxError, BoxFuture};
/// use palisade_webhook::{Claim, ReplayStore, Reservation, Retention};
///
/// /// Stands for a table in a database. It has no clock, and evicts nothing.
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
    /// Claims a delivery, unless it was claimed or processed before. Exactly one of several concurrent claims succeeds.
    ///
    /// The key is visible ASCII after your namespace, and at most 300 bytes longer than it. Only verified deliveries are
    /// claimed.
    ///
    /// # Errors
    ///
    /// If the store fails or is full. See [`Replays::accept_when_store_fails`](super::Replays::accept_when_store_fails).
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>>;
}

impl<S: ReplayStore + ?Sized> ReplayStore for Arc<S> {
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        S::claim(self, key, retention)
    }
}

/// The retention of a processed delivery, counted from its confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The minimum. The store must not evict it earlier, because its timestamp would still be accepted.
    pub at_least: Duration,
    /// The intended retention, because senders retry for that long.
    pub at_most: Duration,
}

/// The result of [`ReplayStore::claim`].
pub enum Claim {
    /// The claim succeeded. It holds until the reservation is confirmed or dropped.
    First(Box<dyn Reservation>),
    /// The handler of this delivery is running.
    InProgress,
    /// The delivery was processed.
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

/// A claimed delivery. Dropping it without confirmation releases the claim for the next attempt.
pub trait Reservation: Send + 'static {
    /// Marks the delivery as processed.
    fn confirm(self: Box<Self>) -> BoxFuture<Result<(), BoxError>>;
}
