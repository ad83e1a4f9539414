use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use palisade_core::{BoxError, BoxFuture, Clock, ConfigError, SystemClock};

use crate::{Claim, ClaimStore, Reservation, Retention};

/// Stores a fixed number of claims in memory. Clones share them.
///
/// A full store evicts the record that expires first, but none before its [minimum](Retention::at_least). If there are only
/// such records, it rejects new claims, so that a client cannot evict a record in order to repeat its request. A claim holds
/// until its reservation is completed or dropped, without a lease: the process knows that the work is still running.
///
/// For a single process whose records may be lost on restart. Several behind a load balancer need a shared
/// [`ClaimStore`], such as `RedisClaims`.
///
/// ```
/// use palisade_claims::InMemoryClaims;
///
/// let store = InMemoryClaims::new(100_000)?.max_bytes(16 * 1024 * 1024);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct InMemoryClaims {
    shared: Arc<Shared>,
}

struct Shared {
    capacity: usize,
    clock: Arc<dyn Clock>,
    claims: Mutex<Claims>,
}

struct Claims {
    by_key: HashMap<Arc<str>, State>,
    /// Completed claims by the time from which they may be evicted; the number distinguishes those with the same time.
    evictable: BTreeMap<(Duration, u64), Arc<str>>,
    completions: u64,
    /// Bytes of all records.
    bytes: usize,
    max_bytes: usize,
}

enum State {
    Running,
    Completed { record: Bytes, evictable: (Duration, u64), until: Duration },
}

const MAX_BYTES: usize = 64 * 1024 * 1024;

impl InMemoryClaims {
    /// Creates a store with this capacity in claims. Their records have at most 64 MiB together;
    /// see [`max_bytes`](Self::max_bytes).
    ///
    /// # Errors
    ///
    /// If the capacity is 0.
    pub fn new(capacity: usize) -> Result<Self, ConfigError> {
        Self::with_clock(capacity, SystemClock::shared())
    }

    /// Creates a store with this capacity and clock.
    ///
    /// # Errors
    ///
    /// If the capacity is 0.
    pub fn with_clock(capacity: usize, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        if capacity == 0 {
            let remedy = "use the number of requests that may be claimed within the retention";
            return Err(ConfigError::new("capacity", 0, remedy));
        }
        let claims = Mutex::new(Claims {
            by_key: HashMap::new(),
            evictable: BTreeMap::new(),
            completions: 0,
            bytes: 0,
            max_bytes: MAX_BYTES,
        });
        Ok(Self { shared: Arc::new(Shared { capacity, clock, claims }) })
    }

    /// Limits the bytes of all records together. Default: 64 MiB.
    ///
    /// A record that does not fit is stored as an empty one, so that the work is not repeated, and
    /// [`Reservation::complete`] returns an error.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.shared.claims().max_bytes = bytes;
        self
    }

    fn claim_now(&self, key: &str, retention: Retention) -> Result<Claim, BoxError> {
        let now = self.shared.clock.monotonic();
        let mut claims = self.shared.claims();
        match claims.by_key.get(key) {
            Some(State::Running) => return Ok(Claim::InProgress),
            Some(State::Completed { record, until, .. }) if now < *until => {
                return Ok(Claim::Completed(record.clone()));
            }
            Some(State::Completed { evictable, .. }) => {
                let place = *evictable;
                claims.evict(place);
            }
            None => {}
        }
        if claims.by_key.len() >= self.shared.capacity && !claims.evict_first(now) {
            return Err(Full::Claims.into());
        }
        let key: Arc<str> = key.into();
        claims.by_key.insert(Arc::clone(&key), State::Running);
        let shared = Arc::clone(&self.shared);
        Ok(Claim::First(Box::new(Claimed { shared, key, retention, is_completed: false })))
    }
}

impl Shared {
    fn claims(&self) -> MutexGuard<'_, Claims> {
        // No code under the lock panics, so a poisoned lock guards consistent data.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claims {
    /// Stores a record, or an empty one if it does not fit.
    fn complete(
        &mut self,
        key: &Arc<str>,
        mut record: Bytes,
        now: Duration,
        retention: Retention,
    ) -> Result<(), Full> {
        let mut stored = Ok(());
        while self.bytes.saturating_add(record.len()) > self.max_bytes {
            if !self.evict_first(now) {
                (record, stored) = (Bytes::new(), Err(Full::Bytes));
                break;
            }
        }
        self.bytes += record.len();
        self.completions += 1;
        let evictable = (now.saturating_add(retention.at_least), self.completions);
        let until = now.saturating_add(retention.at_most.max(retention.at_least));
        self.evictable.insert(evictable, Arc::clone(key));
        self.by_key.insert(Arc::clone(key), State::Completed { record, evictable, until });
        stored
    }

    /// Evicts the record that may be evicted first, and returns whether there was one.
    fn evict_first(&mut self, now: Duration) -> bool {
        match self.evictable.first_key_value() {
            Some((place, _)) if place.0 <= now => {
                let place = *place;
                self.evict(place);
                true
            }
            _ => false,
        }
    }

    fn evict(&mut self, place: (Duration, u64)) {
        if let Some(key) = self.evictable.remove(&place)
            && let Some(State::Completed { record, .. }) = self.by_key.remove(&key)
        {
            self.bytes -= record.len();
        }
    }
}

impl ClaimStore for InMemoryClaims {
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        Box::pin(std::future::ready(self.claim_now(key, retention)))
    }
}

struct Claimed {
    shared: Arc<Shared>,
    key: Arc<str>,
    retention: Retention,
    is_completed: bool,
}

impl Reservation for Claimed {
    fn complete(mut self: Box<Self>, record: Bytes) -> BoxFuture<Result<(), BoxError>> {
        self.is_completed = true;
        let now = self.shared.clock.monotonic();
        let stored = self.shared.claims().complete(&self.key, record, now, self.retention);
        Box::pin(std::future::ready(stored.map_err(Into::into)))
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if !self.is_completed {
            self.shared.claims().by_key.remove(&self.key);
        }
    }
}

/// The store has no room, because its records must not be evicted yet.
#[derive(Debug)]
enum Full {
    Claims,
    Bytes,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claims => {
                "the store of claims is full, and no record may be evicted yet: give it a larger capacity"
            }
            Self::Bytes => {
                "the record does not fit into the store of claims, and no other may be evicted yet: raise `max_bytes`"
            }
        })
    }
}

impl std::error::Error for Full {}

/// Shows the number of claims.
impl fmt::Debug for InMemoryClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.shared.claims().by_key.len();
        write!(f, "InMemoryClaims({count} of {} claims)", self.shared.capacity)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use palisade_core::ManualClock;
    use proptest::prelude::*;

    use super::*;

    const RETENTION: Retention =
        Retention { at_least: Duration::from_secs(600), at_most: Duration::from_secs(3600) };

    fn store(capacity: usize) -> (InMemoryClaims, ManualClock) {
        let clock = ManualClock::at(Duration::from_secs(1_700_000_000));
        (InMemoryClaims::with_clock(capacity, Arc::new(clock.clone())).unwrap(), clock)
    }

    fn claim(store: &InMemoryClaims, key: &str) -> Result<Claim, BoxError> {
        store.claim_now(key, RETENTION)
    }

    /// Returns `true` for the first claim.
    fn process(store: &InMemoryClaims, key: &str) -> Result<bool, BoxError> {
        match claim(store, key)? {
            Claim::First(reservation) => {
                let completed = pin!(reservation.complete(Bytes::new()))
                    .poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(completed, Poll::Ready(Ok(()))));
                Ok(true)
            }
            Claim::InProgress => panic!("{key} is in progress"),
            Claim::Completed(_) => Ok(false),
        }
    }

    #[test]
    fn claims_once_and_releases_unconfirmed_claims() {
        let (store, _) = store(10);
        let first = claim(&store, "a").unwrap();
        assert!(matches!(first, Claim::First(_)));
        assert!(matches!(claim(&store, "a"), Ok(Claim::InProgress)));
        assert!(matches!(claim(&store, "b"), Ok(Claim::First(_))));
        drop(first);
        assert!(process(&store, "a").unwrap());
        assert!(!process(&store, "a").unwrap());
    }

    #[test]
    fn records_are_kept_for_the_retention() {
        let (store, clock) = store(10);
        assert!(process(&store, "a").unwrap());
        clock.advance(Duration::from_secs(3599));
        assert!(!process(&store, "a").unwrap());
        clock.advance(Duration::from_secs(1));
        assert!(process(&store, "a").unwrap());
        clock.advance(Duration::from_secs(3599));
        assert!(!process(&store, "a").unwrap(), "it counts from the second time");
    }

    #[test]
    fn full_store_rejects_new_keys_and_keeps_retained_ones() {
        let (store, clock) = store(3);
        for key in ["a", "b", "c"] {
            assert!(process(&store, key).unwrap());
            clock.advance(Duration::from_secs(1));
        }
        for attempt in 0..100 {
            assert!(process(&store, &format!("flood {attempt}")).is_err());
            assert!(!process(&store, "a").unwrap());
        }
        clock.advance(Duration::from_secs(597));
        assert!(process(&store, "d").unwrap(), "the first may be forgotten now");
        assert!(process(&store, "e").is_err());
        assert!(!process(&store, "b").unwrap() && !process(&store, "c").unwrap());
    }

    #[test]
    fn running_claims_are_never_evicted() {
        let (store, clock) = store(1);
        let running = claim(&store, "a").unwrap();
        clock.advance(Duration::from_secs(1_000_000));
        assert!(process(&store, "b").is_err());
        drop(running);
        assert!(process(&store, "b").unwrap());
    }

    #[test]
    fn records_that_do_not_fit_are_stored_empty() {
        let (store, clock) = store(10);
        let store = store.max_bytes(10);
        let complete = |key: &str, record: &'static str| {
            let Ok(Claim::First(reservation)) = claim(&store, key) else { panic!("{key}") };
            let completed = pin!(reservation.complete(Bytes::from_static(record.as_bytes())))
                .poll(&mut Context::from_waker(Waker::noop()));
            matches!(completed, Poll::Ready(Ok(())))
        };
        let record = |key: &str| match claim(&store, key).unwrap() {
            Claim::Completed(record) => record,
            other => panic!("{key}: {other:?}"),
        };
        assert!(complete("a", "12345") && complete("b", "12345"));
        assert!(!complete("c", "1"));
        assert_eq!((record("a"), record("c")), (Bytes::from("12345"), Bytes::new()));
        clock.advance(RETENTION.at_least);
        assert!(complete("d", "123456789"), "the records of a and b may be evicted now");
        assert!(matches!(claim(&store, "a"), Ok(Claim::First(_))));
        assert_eq!(store.shared.claims().bytes, 9);
    }

    #[test]
    fn rejects_capacity_of_zero() {
        assert_eq!(InMemoryClaims::new(0).unwrap_err().setting(), "capacity");
    }

    #[test]
    fn only_one_of_many_threads_claims_a_key() {
        let (store, _) = store(10);
        let first: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| match claim(&store, "a").unwrap() {
                        Claim::First(reservation) => {
                            std::mem::forget(reservation);
                            1
                        }
                        _ => 0,
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(first, 1);
    }

    proptest! {
        #[test]
        fn processes_once_within_retention_and_stays_bounded(
            steps in prop::collection::vec((0u8..20, 0u64..200), 1..300),
        ) {
            let (store, clock) = store(8);
            let mut processed: HashMap<u8, Duration> = HashMap::new();
            for (key, wait) in steps {
                clock.advance(Duration::from_secs(wait));
                let now = clock.monotonic();
                let first = process(&store, &key.to_string());
                if processed.get(&key).is_some_and(|before| now - *before < RETENTION.at_least) {
                    prop_assert!(matches!(first, Ok(false)), "{} came twice", key);
                }
                if let Ok(true) = first {
                    processed.insert(key, now);
                }
                let claims = store.shared.claims();
                prop_assert!(claims.by_key.len() <= 8);
                prop_assert_eq!(claims.by_key.len(), claims.evictable.len());
            }
        }
    }
}
