use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use palisade_core::{BoxError, BoxFuture};

/// Stores claims and the records of completed ones: [in memory](crate::InMemoryClaims), in Redis (feature `redis`), or in your
/// own database.
///
/// A claim of a store that several processes share must be a lease, which expires if its process crashes and is longer than the
/// work takes. Each claim needs its own [fencing token](Reservation::token), so that a process whose lease expired can neither
/// complete nor release the claim of another one.
///
/// ```
/// use std::{collections::HashMap, sync::{Arc, Mutex}};
/// use bytes::Bytes;
/// use palisade_claims::{Claim, ClaimStore, Reservation, Retention};
/// use palisade_core::{BoxError, BoxFuture};
///
/// /// Stands for a table in a database. It has no clock, and evicts nothing.
/// #[derive(Clone, Default)]
/// struct Table(Arc<Mutex<HashMap<String, Option<Bytes>>>>);
///
/// struct Row { table: Table, key: String, completed: bool }
///
/// impl ClaimStore for Table {
///     fn claim(&self, key: &str, _: Retention) -> BoxFuture<Result<Claim, BoxError>> {
///         let (table, key) = (self.clone(), key.to_owned());
///         Box::pin(async move {
///             let mut rows = table.0.lock().unwrap();
///             Ok(match rows.get(&key) {
///                 Some(Some(record)) => Claim::Completed(record.clone()),
///                 Some(None) => Claim::InProgress,
///                 None => {
///                     rows.insert(key.clone(), None);
///                     Claim::First(Box::new(Row { table: table.clone(), key, completed: false }))
///                 }
///             })
///         })
///     }
/// }
///
/// impl Reservation for Row {
///     fn complete(mut self: Box<Self>, record: Bytes) -> BoxFuture<Result<(), BoxError>> {
///         Box::pin(async move {
///             self.completed = true;
///             self.table.0.lock().unwrap().insert(self.key.clone(), Some(record));
///             Ok(())
///         })
///     }
/// }
///
/// impl Drop for Row {
///     fn drop(&mut self) {
///         if !self.completed {
///             // over a network: spawn it
///             self.table.0.lock().unwrap().remove(&self.key);
///         }
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let table = Table::default();
/// let minute = Retention::exactly(std::time::Duration::from_secs(60));
/// let Ok(Claim::First(row)) = table.claim("a", minute).await else { panic!("the key is new") };
/// drop(row);
/// assert!(matches!(table.claim("a", minute).await, Ok(Claim::First(_))));
/// # });
/// ```
pub trait ClaimStore: Send + Sync + 'static {
    /// Claims a key, unless it is claimed or its work is completed. Exactly one of several concurrent claims succeeds.
    ///
    /// Palisade's own keys are visible ASCII of at most 300 bytes after a namespace of the user's.
    ///
    /// # Errors
    ///
    /// If the store fails or is full.
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>>;
}

impl<S: ClaimStore + ?Sized> ClaimStore for Arc<S> {
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        S::claim(self, key, retention)
    }
}

/// The retention of a record, counted from the completion of its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The minimum. The store must not evict the record earlier; it rejects new claims instead.
    pub at_least: Duration,
    /// The intended retention.
    pub at_most: Duration,
}

impl Retention {
    /// Returns a retention of this duration, without earlier eviction.
    #[must_use]
    pub const fn exactly(keep: Duration) -> Self {
        Self { at_least: keep, at_most: keep }
    }
}

/// The result of [`ClaimStore::claim`].
pub enum Claim {
    /// The claim succeeded. It holds until the reservation is completed or dropped.
    First(Box<dyn Reservation>),
    /// The key is claimed, and its work is running.
    InProgress,
    /// The work was completed with this record.
    Completed(Bytes),
}

/// Shows the size of a record, not its bytes.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(_) => f.write_str("First"),
            Self::InProgress => f.write_str("InProgress"),
            Self::Completed(record) => write!(f, "Completed({} bytes)", record.len()),
        }
    }
}

/// A claimed key. Dropping it without completion releases the claim.
pub trait Reservation: Send + 'static {
    /// Stores the record for later claims of the key.
    fn complete(self: Box<Self>, record: Bytes) -> BoxFuture<Result<(), BoxError>>;

    /// Returns the fencing token of the claim: text that no other claim of the store has. Empty if the store needs none,
    /// because its claims cannot expire while their work is running. Default: empty.
    fn token(&self) -> &str {
        ""
    }
}
