use palisade_core::{ApiError, BoxError};

use crate::{CacheStore, store::Purged};

/// Removes responses from a store. Clones are the same handle: give it to handlers.
///
/// A response that the service was making at that time is not stored either.
///
/// ```
/// use palisade_cache::Cache;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let cache = Cache::forever().until_purged().build()?;
/// let purge = cache.purge();
/// purge.path("/posts/1").await?; // each host, query and caller
/// purge.tag("posts").await?; // each response with this `Cache-Tag`
/// purge.everything().await?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Purge {
    store: CacheStore,
}

impl Purge {
    /// Removes the responses for this path, as clients write it: for each host, query and caller.
    ///
    /// # Errors
    ///
    /// 503 if a shared store does not respond. A store in memory never fails.
    pub async fn path(&self, path: &str) -> Result<(), ApiError> {
        self.remove(Purged::Path(path.into())).await
    }

    /// Removes the responses with this [tag](crate::CacheTags).
    ///
    /// # Errors
    ///
    /// Those of [`path`](Self::path).
    pub async fn tag(&self, tag: &str) -> Result<(), ApiError> {
        self.remove(Purged::Tag(tag.into())).await
    }

    /// Removes all responses of the store.
    ///
    /// # Errors
    ///
    /// Those of [`path`](Self::path).
    pub async fn everything(&self) -> Result<(), ApiError> {
        self.remove(Purged::Everything).await
    }

    async fn remove(&self, purged: Purged) -> Result<(), ApiError> {
        let failed = |error: BoxError| ApiError::unavailable().with_source(error);
        self.store.remove_all(purged).await.map_err(failed)
    }
}

impl CacheStore {
    /// Returns a handle that removes responses.
    pub fn purge(&self) -> Purge {
        Purge { store: self.clone() }
    }
}
