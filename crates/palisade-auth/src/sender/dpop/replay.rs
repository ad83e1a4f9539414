use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use palisade_core::{BoxError, BoxFuture, Clock, ConfigError, SystemClock};

/// The length of the part of an id that names the client's key.
pub(super) const KEY_NAME: usize = 16;

/// Stores the ids of used DPoP proofs, so that no proof is accepted twice: [in memory](InMemoryDpopReplays), in Redis with the
/// feature `redis`, or in a store of yours.
///
/// ```
/// use std::{collections::HashSet, sync::{Arc, Mutex}, time::Duration};
/// use palisade_auth::DpopReplays;
/// use palisade_core::{BoxError, BoxFuture};
///
/// /// A table over the network, as far as this example goes. It has no clock and forgets nothing.
/// #[derive(Default)]
/// struct Table(Arc<Mutex<HashSet<String>>>);
///
/// impl DpopReplays for Table {
///     fn insert(&self, id: &str, _: Duration) -> BoxFuture<Result<bool, BoxError>> {
///         let (table, id) = (Arc::clone(&self.0), id.to_owned());
///         Box::pin(async move { Ok(table.lock().unwrap().insert(id)) })
///     }
/// }
/// ```
pub trait DpopReplays: Send + Sync + 'static {
    /// Stores an id for this time, in one step. Returns true if it was not stored. Of several calls at the same time, from
    /// all processes, one returns true.
    ///
    /// An id has 43 characters of base64url. The first 16 are the same for all proofs of one key, so that a store can limit the
    /// proofs of one client. Only proofs whose signature was verified are stored.
    ///
    /// # Errors
    ///
    /// If the store does not answer or has no room. The request is then rejected with 503.
    fn insert(&self, id: &str, keep_for: Duration) -> BoxFuture<Result<bool, BoxError>>;
}

/// Stores proofs in the memory of this process, up to a fixed number. Clones share them.
///
/// A proof is removed when it could no longer be sent again, and not before: when the store is full, further proofs are
/// rejected with 503. Only clients with a valid token and its key can add to it. The proofs of one key take at most a tenth of
/// the store (all of it up to 100 proofs), so that one client cannot fill it; further proofs of this client are rejected with
/// 503.
///
/// The store needs room for the proofs of one `max_age` and 5 s: with the default of 60 s, 100,000 proofs are enough for some
/// 1,500 requests per second, and 150 of one client. With nonces the lifetime of a nonce counts: with 10 minutes, the same
/// store is enough for 165 requests per second.
///
/// ```
/// use palisade_auth::{Dpop, InMemoryDpopReplays};
///
/// // some 20 MB when it is full
/// let dpop = Dpop::new("https://api.example.com").replays(InMemoryDpopReplays::new(100_000)?);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct InMemoryDpopReplays {
    capacity: usize,
    clock: Arc<dyn Clock>,
    used: Arc<Mutex<Used>>,
}

#[derive(Default)]
struct Used {
    ids: HashSet<Arc<str>>,
    by_expiry: BinaryHeap<Reverse<(Duration, Arc<str>)>>,
    /// The number of proofs of each key.
    of_key: HashMap<Box<str>, usize>,
}

impl Used {
    fn remove_expired(&mut self, now: Duration) {
        while self.by_expiry.peek().is_some_and(|Reverse((expiry, _))| *expiry <= now) {
            let Some(Reverse((_, id))) = self.by_expiry.pop() else { break };
            self.ids.remove(&id);
            if let Some(count) = self.of_key.get_mut(key_name(&id)) {
                *count -= 1;
                if *count == 0 {
                    self.of_key.remove(key_name(&id));
                }
            }
        }
    }
}

/// Returns the part of an id that names the client's key.
fn key_name(id: &str) -> &str {
    id.get(..KEY_NAME).unwrap_or(id)
}

impl InMemoryDpopReplays {
    /// Creates a store for this many proofs.
    ///
    /// # Errors
    ///
    /// Returns an error if `capacity` is 0.
    pub fn new(capacity: usize) -> Result<Self, ConfigError> {
        Self::with_clock(capacity, SystemClock::shared())
    }

    /// Creates a store with the time of this clock.
    ///
    /// # Errors
    ///
    /// Returns an error if `capacity` is 0.
    pub fn with_clock(capacity: usize, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        if capacity == 0 {
            let remedy = "use the number of proofs that all clients send within `max_age` plus 5 s";
            return Err(ConfigError::new("capacity", 0, remedy));
        }
        Ok(Self { capacity, clock, used: Arc::default() })
    }

    /// Returns how many proofs of one key are stored at most.
    fn capacity_of_key(&self) -> usize {
        (self.capacity / 10).max(self.capacity.min(100))
    }

    fn insert_now(&self, id: &str, keep_for: Duration) -> Result<bool, BoxError> {
        let now = self.clock.monotonic();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.remove_expired(now);
        if used.ids.contains(id) {
            return Ok(false);
        }
        if used.ids.len() >= self.capacity {
            return Err("the store of DPoP proofs is full: raise its capacity".into());
        }
        let of_key = used.of_key.get(key_name(id)).copied().unwrap_or_default();
        if of_key >= self.capacity_of_key() {
            return Err(format!(
                "one client has {of_key} DPoP proofs in the store, a tenth of its capacity"
            )
            .into());
        }
        used.of_key.insert(key_name(id).into(), of_key + 1);
        let id: Arc<str> = id.into();
        used.ids.insert(Arc::clone(&id));
        used.by_expiry.push(Reverse((now + keep_for, id)));
        Ok(true)
    }
}

impl DpopReplays for InMemoryDpopReplays {
    fn insert(&self, id: &str, keep_for: Duration) -> BoxFuture<Result<bool, BoxError>> {
        Box::pin(std::future::ready(self.insert_now(id, keep_for)))
    }
}

impl fmt::Debug for InMemoryDpopReplays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryDpopReplays")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "redis")]
mod redis {
    use std::{sync::LazyLock, time::Duration};

    use palisade_core::{BoxError, BoxFuture};
    use palisade_redis::{Redis, Script};

    use super::DpopReplays;

    /// Argument: how long to keep the id, in milliseconds.
    static INSERT: LazyLock<Script> = LazyLock::new(|| {
        Script::new(
            "if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return { 1 } end return { 0 }",
        )
    });

    /// Proofs in Redis or Valkey, for a service that runs on several machines.
    ///
    /// The key of a proof is `prefix:dpop:` and its id, and expires by the server's clock. Without Redis, requests with
    /// proofs are rejected with 503. A server that evicts keys forgets proofs: use `maxmemory-policy noeviction`.
    ///
    /// ```no_run
    /// use palisade_auth::{Dpop, RedisDpopReplays};
    /// use palisade_redis::Redis;
    ///
    /// let redis = Redis::builder("redis://127.0.0.1:6379").build()?;
    /// let dpop = Dpop::new("https://api.example.com").replays(RedisDpopReplays::new(redis));
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct RedisDpopReplays(Redis);

    impl RedisDpopReplays {
        /// On this server.
        pub fn new(redis: Redis) -> Self {
            Self(redis)
        }
    }

    impl DpopReplays for RedisDpopReplays {
        fn insert(&self, id: &str, keep_for: Duration) -> BoxFuture<Result<bool, BoxError>> {
            let redis = self.0.clone();
            let key = format!("{}:dpop:{id}", redis.prefix());
            let keep_for = keep_for.as_millis().to_string();
            Box::pin(async move {
                let answer = redis.run(&INSERT, &[key], &[keep_for]).await?;
                Ok(answer.first() == Some(&1))
            })
        }
    }
}
#[cfg(feature = "redis")]
pub use self::redis::RedisDpopReplays;

#[cfg(test)]
mod tests {
    use palisade_core::ManualClock;

    use super::*;

    #[test]
    fn proofs_are_stored_until_they_expire_and_never_evicted() {
        let clock = ManualClock::at(Duration::ZERO);
        let store = InMemoryDpopReplays::with_clock(2, Arc::new(clock.clone())).unwrap();
        let insert = |id| store.insert_now(id, Duration::from_secs(10));
        assert!(insert("a").unwrap());
        assert!(!insert("a").unwrap());
        clock.advance(Duration::from_secs(5));
        assert!(insert("b").unwrap());
        assert!(insert("c").is_err(), "full");
        assert!(!insert("a").unwrap(), "known, although it is full");
        clock.advance(Duration::from_secs(5));
        assert!(insert("c").unwrap(), "the first one has expired");
        assert!(!insert("b").unwrap());
        assert!(InMemoryDpopReplays::new(0).is_err());
    }

    #[test]
    fn one_client_cannot_fill_the_store() {
        let clock = ManualClock::at(Duration::ZERO);
        let store = InMemoryDpopReplays::with_clock(2000, Arc::new(clock.clone())).unwrap();
        let insert = |key: usize, proof: usize| {
            store.insert_now(&format!("{key:016}{proof:027}"), Duration::from_secs(10))
        };
        let stored = (0..2000).filter(|proof| insert(1, *proof).is_ok()).count();
        assert_eq!(stored, 200);
        assert!(!insert(1, 7).unwrap(), "known");
        assert!(insert(2, 7).unwrap(), "another client");
        clock.advance(Duration::from_secs(10));
        assert!(insert(1, 7).unwrap());
        let used = store.used.lock().unwrap();
        assert_eq!((used.ids.len(), used.by_expiry.len(), used.of_key.len()), (1, 1, 1));
    }
}
