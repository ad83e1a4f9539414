//! The memory of a cache: stored responses, requests that are under way, and purges.

mod flights;
mod memory;
mod purges;
#[cfg(feature = "redis")]
mod redis;

use std::{fmt, sync::Arc};

use http::HeaderMap;
use palisade_core::{BoxError, ConfigError};
#[cfg(feature = "redis")]
use palisade_redis::Redis;

pub(crate) use flights::{Flight, Flights, Joined, Landing, landed};
pub(crate) use memory::Memory;
pub(crate) use purges::Purged;

use crate::entry::{Key, KeyRef, Stored};

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
    #[cfg(feature = "redis")]
    Redis(redis::Shared),
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

    /// Stores responses in Redis or Valkey, for a service that runs on several machines: they share responses, purges, and
    /// requests for responses that are not stored. Machines with the same [prefix](palisade_redis::RedisBuilder::prefix) share
    /// them, so services that answer the same host and path differently need different ones.
    ///
    /// - Each hit is one round trip to Redis; nothing is kept on the machine, so a purge is seen by each machine at once.
    /// - Of simultaneous requests for a response that is not stored, one goes to the service, on one of the machines. If that
    ///   takes longer than 10 s, another machine asks too. A response that takes longer than 5 minutes is not stored.
    /// - If Redis fails, or does not answer within its [time-out](palisade_redis::RedisBuilder::response_timeout), the service
    ///   answers, and Redis is not asked for a second. Purges return an error then.
    /// - Each key expires when its response is of no more use, after 30 days at the latest. Redis limits the memory:
    ///   set `maxmemory`, and `maxmemory-policy allkeys-lru`. Purges survive eviction: if the record of a purge is evicted, all
    ///   responses are.
    /// - After purges of 65,536 different paths and tags, everything is purged.
    ///
    /// The user needs `+evalsha +eval`, the commands `get set del hget hset hsetnx hmget hgetall hkeys hexists hlen hdel hincrby
    /// pexpire pttl time` on `~palisade:*`, and `+script|load`.
    ///
    /// ```
    /// use palisade_cache::{Cache, CacheStore};
    /// use palisade_redis::Redis;
    ///
    /// let redis = Redis::builder("redis://127.0.0.1:6379").prefix("shop").build()?;
    /// let store = CacheStore::redis(redis);
    /// let cache = Cache::honour().store(&store).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    #[cfg(feature = "redis")]
    pub fn redis(redis: Redis) -> Self {
        Self { kind: Kind::Redis(redis::Shared::new(redis)) }
    }

    /// Returns the newest response that matches a request, if the store answers at once.
    #[inline]
    pub(crate) fn find_now(&self, key: KeyRef<'_>, request: &HeaderMap) -> Option<Arc<Stored>> {
        match &self.kind {
            Kind::Memory(memory) => memory.get(key)?.select(request).cloned(),
            #[cfg(feature = "redis")]
            Kind::Redis(_) => None,
        }
    }

    /// Returns the newest response that matches a request.
    pub(crate) async fn find(&self, key: &Key, request: &HeaderMap) -> Option<Arc<Stored>> {
        match &self.kind {
            Kind::Memory(_) => self.find_now(key.as_ref(), request),
            #[cfg(feature = "redis")]
            Kind::Redis(shared) => shared.find(key, request).await.map(Arc::new),
        }
    }

    /// Returns a mark in the sequence of purges: a response that was asked for before a purge is not stored after it.
    pub(crate) async fn mark(&self, key: &Key) -> Mark {
        let _ = key;
        match &self.kind {
            Kind::Memory(memory) => Mark::Memory(memory.mark()),
            #[cfg(feature = "redis")]
            Kind::Redis(shared) => shared.mark(key).await.map_or(Mark::Unknown, Mark::Redis),
        }
    }

    /// Starts the flight of this process for a key. Returns `None` if another machine has started one.
    pub(crate) async fn depart(&self, key: &Key, flight: &mut Flight) -> Option<Mark> {
        let _ = (key, &flight);
        match &self.kind {
            Kind::Memory(memory) => Some(Mark::Memory(memory.mark())),
            #[cfg(feature = "redis")]
            Kind::Redis(shared) => match shared.depart(key).await {
                redis::Departure::Lead(mark, lease) => {
                    flight.hold(lease);
                    Some(Mark::Redis(mark))
                }
                redis::Departure::Alone(mark) => Some(mark.map_or(Mark::Unknown, Mark::Redis)),
                redis::Departure::Wait => None,
            },
        }
    }

    /// Stores a response, unless a purge after `mark` concerns it.
    pub(crate) async fn insert(&self, key: &Key, stored: &Arc<Stored>, mark: &Mark) -> Insertion {
        match (&self.kind, mark) {
            (Kind::Memory(memory), Mark::Memory(mark)) => memory.insert(key, stored, *mark),
            #[cfg(feature = "redis")]
            (Kind::Redis(shared), Mark::Redis(mark)) => shared.insert(key, stored, mark).await,
            #[cfg(feature = "redis")]
            _ => Insertion::Failed,
        }
    }

    /// Removes what is stored for a key.
    pub(crate) async fn remove(&self, key: &Key) -> Result<(), BoxError> {
        match &self.kind {
            Kind::Memory(memory) => memory.remove(key),
            #[cfg(feature = "redis")]
            Kind::Redis(shared) => shared.remove(key).await?,
        }
        Ok(())
    }

    pub(crate) async fn remove_all(&self, purged: Purged) -> Result<(), BoxError> {
        match &self.kind {
            Kind::Memory(memory) => memory.purge(purged),
            #[cfg(feature = "redis")]
            Kind::Redis(shared) => shared.purge(purged).await?,
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
            #[cfg(feature = "redis")]
            Kind::Redis(shared) => f.debug_tuple("CacheStore").field(shared).finish(),
        }
    }
}

/// A place in the sequence of purges.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    Memory(u64),
    #[cfg(feature = "redis")]
    Redis(redis::RedisMark),
    /// The store failed. The response is not stored.
    #[cfg(feature = "redis")]
    Unknown,
}

/// What became of a response that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Insertion {
    Stored,
    /// A purge concerns it, or it does not fit.
    Refused,
    /// The store failed.
    #[cfg(feature = "redis")]
    Failed,
}
