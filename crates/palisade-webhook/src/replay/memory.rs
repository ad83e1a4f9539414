use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use palisade_core::{BoxError, BoxFuture, Clock, ConfigError, SystemClock};

use super::store::{Claim, ReplayStore, Reservation, Retention};

/// Stores a fixed number of deliveries in memory. Clones share them.
///
/// A full store evicts the delivery that expires first, but never one whose timestamp would still be accepted. If there are only
/// such deliveries, it rejects new ones (503, so that senders retry). So an attacker cannot evict a delivery in order to repeat
/// it. Only verified deliveries are stored.
///
/// For a single process that may forget deliveries on restart. Several behind a load balancer need a shared
/// [`ReplayStore`], such as `RedisReplays`.
///
/// ```
/// use palisade_webhook::InMemoryReplays;
///
/// // some 30 MB when it is full
/// let store = InMemoryReplays::new(100_000)?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct InMemoryReplays {
    shared: Arc<Shared>,
}

struct Shared {
    capacity: usize,
    clock: Arc<dyn Clock>,
    deliveries: Mutex<Deliveries>,
}

#[derive(Default)]
struct Deliveries {
    by_key: HashMap<Arc<str>, State>,
    /// Processed deliveries by their expiry; the number distinguishes those with the same expiry.
    forgettable: BTreeMap<(Duration, u64), Arc<str>>,
    confirmed: u64,
}

enum State {
    Running,
    Processed { forgettable: (Duration, u64), until: Duration },
}

impl InMemoryReplays {
    /// Creates a store with this capacity: at least the deliveries of twice the tolerance of timestamps (10 minutes), preferably
    /// those of a day.
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
            return Err(ConfigError::new(
                "capacity",
                0,
                "use as many deliveries as may come in a day",
            ));
        }
        Ok(Self { shared: Arc::new(Shared { capacity, clock, deliveries: Mutex::default() }) })
    }

    fn claim_now(&self, key: &str, retention: Retention) -> Result<Claim, BoxError> {
        let now = self.shared.clock.monotonic();
        let mut deliveries = self.shared.deliveries();
        match deliveries.by_key.get(key) {
            Some(State::Running) => return Ok(Claim::InProgress),
            Some(State::Processed { until, .. }) if now < *until => return Ok(Claim::Processed),
            Some(State::Processed { forgettable, .. }) => {
                let place = *forgettable;
                deliveries.forget(place);
            }
            None => {}
        }
        if deliveries.by_key.len() >= self.shared.capacity {
            match deliveries.forgettable.first_key_value() {
                Some((place, _)) if place.0 <= now => {
                    let place = *place;
                    deliveries.forget(place);
                }
                _ => return Err(Full.into()),
            }
        }
        let key: Arc<str> = key.into();
        deliveries.by_key.insert(Arc::clone(&key), State::Running);
        let shared = Arc::clone(&self.shared);
        Ok(Claim::First(Box::new(Claimed { shared, key, retention, confirmed: false })))
    }
}

impl Shared {
    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        // No code under the lock panics, so a poisoned lock guards consistent data.
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deliveries {
    fn forget(&mut self, place: (Duration, u64)) {
        if let Some(key) = self.forgettable.remove(&place) {
            self.by_key.remove(&key);
        }
    }
}

impl ReplayStore for InMemoryReplays {
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        Box::pin(std::future::ready(self.claim_now(key, retention)))
    }
}

struct Claimed {
    shared: Arc<Shared>,
    key: Arc<str>,
    retention: Retention,
    confirmed: bool,
}

impl Reservation for Claimed {
    fn confirm(mut self: Box<Self>) -> BoxFuture<Result<(), BoxError>> {
        self.confirmed = true;
        let now = self.shared.clock.monotonic();
        let mut deliveries = self.shared.deliveries();
        deliveries.confirmed += 1;
        let forgettable = (now.saturating_add(self.retention.at_least), deliveries.confirmed);
        let until = now.saturating_add(self.retention.at_most.max(self.retention.at_least));
        deliveries.forgettable.insert(forgettable, Arc::clone(&self.key));
        deliveries.by_key.insert(Arc::clone(&self.key), State::Processed { forgettable, until });
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if !self.confirmed {
            self.shared.deliveries().by_key.remove(&self.key);
        }
    }
}

/// The store is full of deliveries that could still be repeated.
#[derive(Debug)]
struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store of replays is full of deliveries that must not be forgotten yet: give it a larger capacity")
    }
}

impl std::error::Error for Full {}

/// Shows the number of deliveries.
impl fmt::Debug for InMemoryReplays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.shared.deliveries().by_key.len();
        write!(f, "InMemoryReplays({count} of {} deliveries)", self.shared.capacity)
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

    fn store(capacity: usize) -> (InMemoryReplays, ManualClock) {
        let clock = ManualClock::at(Duration::from_secs(1_700_000_000));
        (InMemoryReplays::with_clock(capacity, Arc::new(clock.clone())).unwrap(), clock)
    }

    fn claim(store: &InMemoryReplays, key: &str) -> Result<Claim, BoxError> {
        store.claim_now(key, RETENTION)
    }

    /// Returns `true` for the first claim.
    fn process(store: &InMemoryReplays, key: &str) -> Result<bool, BoxError> {
        match claim(store, key)? {
            Claim::First(reservation) => {
                let confirmed =
                    pin!(reservation.confirm()).poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(confirmed, Poll::Ready(Ok(()))));
                Ok(true)
            }
            Claim::InProgress => panic!("nobody processes {key}"),
            Claim::Processed => Ok(false),
        }
    }

    #[test]
    fn claims_once_and_releases_without_confirmation() {
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
    fn a_delivery_is_remembered_for_as_long_as_it_should_be() {
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
    fn full_store_rejects_new_before_evicting_repeatable() {
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
    fn what_is_being_processed_is_never_forgotten() {
        let (store, clock) = store(1);
        let running = claim(&store, "a").unwrap();
        clock.advance(Duration::from_secs(1_000_000));
        assert!(process(&store, "b").is_err());
        drop(running);
        assert!(process(&store, "b").unwrap());
    }

    #[test]
    fn a_store_without_room_is_refused() {
        assert_eq!(InMemoryReplays::new(0).unwrap_err().setting(), "capacity");
    }

    #[test]
    fn of_many_threads_one_is_the_first() {
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
                let deliveries = store.shared.deliveries();
                prop_assert!(deliveries.by_key.len() <= 8);
                prop_assert_eq!(deliveries.by_key.len(), deliveries.forgettable.len());
            }
        }
    }
}
