use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
};

use palisade_core::{BoxError, BoxFuture};

use super::record::ApiKeyRecord;

/// A store of the records of API keys.
///
/// ```
/// use palisade_auth::{ApiKeyLookup, ApiKeyRecord, ApiKeyStore};
/// use palisade_core::Principal;
///
/// struct Database;
///
/// impl Database {
///     async fn row(id: String) -> Result<Option<(String, [u8; 32], String)>, std::io::Error> {
///         Ok(None)
///     }
/// }
///
/// impl ApiKeyStore for Database {
///     fn find(&self, id: &str) -> ApiKeyLookup {
///         let row = Self::row(id.to_owned());
///         ApiKeyLookup::later(async move {
///             let row = row.await?;
///             Ok(row.map(|(id, hash, owner)| ApiKeyRecord::new(id, hash, Principal::new(owner))))
///         })
///     }
/// }
/// ```
pub trait ApiKeyStore: Send + Sync + 'static {
    /// Finds the record of the key with this id: 1 to 64 letters and digits, chosen by the client.
    fn find(&self, id: &str) -> ApiKeyLookup;
}

/// The result of a lookup, now or later.
pub enum ApiKeyLookup {
    /// The result is known.
    Now(Option<ApiKeyRecord>),
    /// The result must be fetched. On an error the request is rejected with 503.
    Later(BoxFuture<Result<Option<ApiKeyRecord>, BoxError>>),
}

impl ApiKeyLookup {
    /// Returns a lookup whose result is the output of the future.
    pub fn later<F>(lookup: F) -> Self
    where
        F: Future<Output = Result<Option<ApiKeyRecord>, BoxError>> + Send + 'static,
    {
        Self::Later(Box::pin(lookup))
    }
}

impl fmt::Debug for ApiKeyLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(found) => f.debug_tuple("Now").field(found).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

impl<S: ApiKeyStore> ApiKeyStore for Arc<S> {
    fn find(&self, id: &str) -> ApiKeyLookup {
        S::find(self, id)
    }
}

/// Stores keys in the memory of this process.
///
/// Clones share their keys, so keys can be added and removed at run time. Changes apply to the next request.
///
/// ```
/// use palisade_auth::{ApiKey, InMemoryApiKeys};
/// use palisade_core::Principal;
///
/// let keys = InMemoryApiKeys::new();
/// let old = ApiKey::generate("acme", Principal::new("billing"))?;
/// let new = ApiKey::generate("acme", Principal::new("billing"))?;
///
/// // to rotate a key is to have both for a while
/// let id = old.record().id().to_owned();
/// keys.insert(old.into_record());
/// keys.insert(new.into_record());
/// keys.remove(&id);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct InMemoryApiKeys {
    // The standard hasher: clients choose the ids, and its seed is secret.
    records: Arc<RwLock<HashMap<Box<str>, ApiKeyRecord>>>,
}

impl InMemoryApiKeys {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key. Returns the one that had the same id, which is not valid any more.
    pub fn insert(&self, record: ApiKeyRecord) -> Option<ApiKeyRecord> {
        // A panic elsewhere leaves the map whole: each change to it is one call.
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        records.insert(record.id().into(), record)
    }

    /// Withdraws the key with this id.
    pub fn remove(&self, id: &str) -> Option<ApiKeyRecord> {
        self.records.write().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

impl FromIterator<ApiKeyRecord> for InMemoryApiKeys {
    fn from_iter<I: IntoIterator<Item = ApiKeyRecord>>(records: I) -> Self {
        let records = records.into_iter().map(|record| (record.id().into(), record)).collect();
        Self { records: Arc::new(RwLock::new(records)) }
    }
}

impl ApiKeyStore for InMemoryApiKeys {
    fn find(&self, id: &str) -> ApiKeyLookup {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        ApiKeyLookup::Now(records.get(id).cloned())
    }
}

/// Shows how many keys there are.
impl fmt::Debug for InMemoryApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "InMemoryApiKeys({} keys)", records.len())
    }
}
