//! The memory of a cache: stored responses, requests that are under way, and purges.

mod flights;
mod memory;
mod purges;

use std::{fmt, sync::Arc};

use palisade_core::{BoxError, ConfigError};

pub(crate) use flights::{Flight, Flights, Joined, Landing, landed};
pub(crate) use memory::Memory;
pub(crate) use purges::Purged;

use crate::{
    Purge,
    entry::{Key, KeyRef, Resource, Stored},
};

/// A place for responses, which several [`Cache`](crate::Cache)s may share. Clones are the same store.
///
/// ```
/// use palisade_cache::{Cache, CacheStore};
///
/// let store = CacheStore::memory(64 * 1024 * 1024)?; // bytes
/// let posts = Cache::honour().store(&store).build()?;
/// let pages = Cache::forever().until_purged().store(&store).build()?;
/// let purge = store.purge();
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct CacheStore {
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Memory(Arc<Memory>),
}

/// The default size of a store: 64 MiB.
const DEFAULT_BYTES: u64 = 64 * 1024 * 1024;

// A store in memory does not wait; others do.
#[allow(clippy::unused_async)]
impl CacheStore {
    /// Stores responses in the memory of this process: at most so many bytes of bodies, header fields and keys. The responses
    /// that are used least make room for others; a flood of responses that are used once does not displace those that are used
    /// often.
    ///
    /// # Errors
    ///
    /// If `bytes` is less than 64 KiB.
    pub fn memory(bytes: u64) -> Result<Self, ConfigError> {
        Memory::new(bytes).map(|memory| Self { kind: Kind::Memory(Arc::new(memory)) })
    }

    /// Returns a handle that removes responses.
    pub fn purge(&self) -> Purge {
        Purge::new(self.clone())
    }

    /// Returns what is stored for a key, if the answer is there at once.
    #[inline]
    pub(crate) fn get_now(&self, key: KeyRef<'_>) -> Option<Option<Resource>> {
        match &self.kind {
            Kind::Memory(memory) => Some(memory.get(key)),
        }
    }

    pub(crate) async fn get(&self, key: &Key) -> Option<Resource> {
        match &self.kind {
            Kind::Memory(memory) => memory.get(key.as_ref()),
        }
    }

    /// Returns a mark in the sequence of purges: a response that was asked for before a purge is not stored after it.
    pub(crate) async fn mark(&self) -> Mark {
        match &self.kind {
            Kind::Memory(memory) => Mark(Some(memory.mark())),
        }
    }

    /// Stores a response, unless a purge after `mark` concerns it. Returns whether it is stored.
    pub(crate) async fn insert(&self, key: &Key, stored: Arc<Stored>, mark: Mark) -> bool {
        match (&self.kind, mark) {
            (_, Mark(None)) => false,
            (Kind::Memory(memory), Mark(Some(mark))) => memory.insert(key, &stored, mark),
        }
    }

    /// Removes what is stored for a key.
    pub(crate) async fn remove(&self, key: &Key) -> Result<(), BoxError> {
        match &self.kind {
            Kind::Memory(memory) => memory.remove(key),
        }
        Ok(())
    }

    pub(crate) async fn remove_all(&self, purged: Purged) -> Result<(), BoxError> {
        match &self.kind {
            Kind::Memory(memory) => memory.purge(purged),
        }
        Ok(())
    }
}

impl Default for CacheStore {
    /// 64 MiB of memory.
    fn default() -> Self {
        Self::memory(DEFAULT_BYTES).expect("the default size is valid")
    }
}

impl fmt::Debug for CacheStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Memory(memory) => f.debug_tuple("CacheStore").field(memory).finish(),
        }
    }
}

/// A place in the sequence of purges; `None` if the store could not tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(pub(crate) Option<u64>);
