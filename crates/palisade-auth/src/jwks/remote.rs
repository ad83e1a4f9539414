use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;
use palisade_core::{ApiError, BoxError, BoxFuture, Clock};
use tokio::runtime::Handle;

use super::{
    client::JwksStatus,
    error::JwksError,
    fetch::Fetch,
    flight::{Failure, Flight, Trip, landed},
    schedule::{Ask, Schedule},
    source::Source,
};

/// The longest key id that anybody is asked about. It is opaque text of the token's author (RFC 7515, section 4.1.4).
const MAX_KEY_ID: usize = 256;

/// What an issuer may ask for by `max-age`, at the least and at the most.
const CACHE_RANGE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// What the bytes of a key set are made into.
pub(crate) trait KeySet: Send + Sync + Sized + 'static {
    /// Reads a document of at most 256 KiB. A document of which nothing can be used is an error, and the keys that are
    /// held stay; a single key that is not understood is not. The cap on the number of keys is this function's to keep.
    ///
    /// `previous` is the set that is held, so that only changes are logged.
    fn parse(document: &[u8], previous: Option<&Self>) -> Result<Self, BoxError>;

    /// True if the issuer has published a key of this id. Best also for one that cannot be used: asking the issuer again
    /// would not help.
    fn has_key_id(&self, id: &str) -> bool;
}

/// The key set of an issuer: a snapshot that requests read without waiting for each other, and the rules by which it is
/// fetched. Clones share it.
///
/// No lock is held across an await. The one mutex guards a few words of bookkeeping and is met only by requests whose key
/// is not in the snapshot, and by the one request in eight minutes that starts a refresh.
pub(crate) struct RemoteKeys<T>(Arc<Shared<T>>);

/// What is known of the keys for a token.
pub(crate) enum Lookup<T> {
    /// The set to look in. With a key id it has that id.
    Ready(Arc<T>),
    /// The set is being fetched, for all who wait for it. It may turn out not to have the key: 401. An error is a 503.
    Wait(BoxFuture<Result<Arc<T>, ApiError>>),
    /// The issuer has no such key, or was asked for another one so recently that it is not asked again: 401,
    /// `invalid_token`.
    Unknown,
    /// Nobody can tell, and there is no point in waiting: 503 with `Retry-After`.
    Unavailable(ApiError),
}

pub(super) struct Shared<T> {
    pub(super) source: Source,
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) held: ArcSwapOption<Held<T>>,
    pub(super) counts: Counts,
    /// When a request that finds its key should start a refresh, in nanoseconds; never, while one is under way.
    refresh_at: AtomicU64,
    asking: Mutex<Asking<T>>,
}

/// The keys of the last fetch that succeeded.
pub(super) struct Held<T> {
    pub(super) keys: Arc<T>,
    pub(super) body: Bytes,
    pub(super) generation: u64,
    loaded_at: Duration,
    refresh_at: Duration,
    unusable_at: Duration,
}

/// What a fetch has brought: new keys, or those that are held and may be kept longer.
pub(super) struct News<T> {
    pub(super) keys: Arc<T>,
    pub(super) generation: u64,
    pub(super) body: Bytes,
    pub(super) max_age: Option<Duration>,
}

/// Who may ask next, and who is asking.
pub(super) struct Asking<T> {
    pub(super) schedule: Schedule,
    pub(super) flight: Option<Flight<T>>,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) cache_for: Duration,
    pub(super) cool_down: Duration,
    pub(super) max_stale: Duration,
    pub(super) timeout: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    fetches: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl<T: KeySet> RemoteKeys<T> {
    pub(super) fn new(
        source: Source,
        fetch: Arc<dyn Fetch>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let schedule = Schedule::new(settings.cool_down, settings.cache_for);
        Self(Arc::new(Shared {
            source,
            fetch,
            settings,
            clock,
            held: ArcSwapOption::empty(),
            counts: Counts::default(),
            refresh_at: AtomicU64::new(u64::MAX),
            asking: Mutex::new(Asking { schedule, flight: None }),
        }))
    }

    /// The keys that there are, without asking for any; none before the first were loaded, and none once they are too
    /// old to be used. Starts a refresh that is due.
    pub(crate) fn current(&self) -> Option<Arc<T>> {
        let now = self.0.clock.monotonic();
        let keys = Arc::clone(&self.0.usable(now).as_ref()?.keys);
        self.refresh_if_due(now);
        Some(keys)
    }

    /// A number that changes whenever the keys do, when they become too old to be used, and when they are back. It never
    /// returns to a value that it had, so what was concluded under one holds until there is another. Read it **before** the
    /// keys. Starts a refresh that is due.
    pub(crate) fn generation(&self) -> u64 {
        let now = self.0.clock.monotonic();
        match &*self.0.held.load() {
            Some(held) if held.is_usable(now) => {
                self.refresh_if_due(now);
                2 * held.generation
            }
            Some(held) => 2 * held.generation + 1,
            None => 0,
        }
    }

    /// The keys for a token that names this key id, or none. Never waits itself.
    pub(crate) fn keys_for(&self, id: Option<&str>) -> Lookup<T> {
        if id.is_some_and(|id| id.len() > MAX_KEY_ID) {
            return Lookup::Unknown;
        }
        let now = self.0.clock.monotonic();
        match &*self.0.usable(now) {
            Some(held) => {
                self.refresh_if_due(now);
                match id {
                    Some(id) if !held.keys.has_key_id(id) => self.ask_for(id, now),
                    _ => Lookup::Ready(Arc::clone(&held.keys)),
                }
            }
            None => self.load_for(id, now),
        }
    }

    /// Fetches the set now, or waits for the fetch that is under way, without regard to how recently it failed.
    pub(super) async fn load(&self) -> Result<(), Failure> {
        let flight = {
            let asking = self.0.asking();
            match &asking.flight {
                Some(flight) => flight.clone(),
                None => self.depart(asking)?,
            }
        };
        landed(flight, &self.0).await.map(drop)
    }

    pub(super) fn status(&self) -> JwksStatus {
        let now = self.0.clock.monotonic();
        JwksStatus {
            generation: self.0.usable(now).as_ref().map_or(0, |held| held.generation),
            age: self.0.held.load().as_ref().map(|held| now.saturating_sub(held.loaded_at)),
            fetches: self.0.counts.fetches.load(Ordering::Relaxed),
            failures: self.0.counts.failures.load(Ordering::Relaxed),
        }
    }

    pub(super) fn error(&self, cause: impl Into<BoxError>) -> JwksError {
        JwksError::new(self.0.source.name(), cause)
    }

    /// The set is there and the key is not.
    fn ask_for(&self, id: &str, now: Duration) -> Lookup<T> {
        let mut asking = self.0.asking();
        // A fetch may have landed since the snapshot was read; from here on, none can.
        if let Some(held) = self.0.held.load().as_ref().filter(|held| held.keys.has_key_id(id)) {
            return Lookup::Ready(Arc::clone(&held.keys));
        }
        if asking.schedule.is_absent(id, now) {
            return Lookup::Unknown;
        }
        if let Some(flight) = &asking.flight {
            return self.wait(flight.clone(), Some(id));
        }
        match asking.schedule.ask_for_unknown_id(now) {
            Ask::Go => self.depart_for(asking, Some(id)),
            Ask::NoSuchKey => Lookup::Unknown,
            Ask::CannotTell(wait) => self.unavailable(wait, "it failed of late"),
        }
    }

    /// There is no set.
    fn load_for(&self, id: Option<&str>, now: Duration) -> Lookup<T> {
        let asking = self.0.asking();
        if let Some(held) = &*self.0.usable(now) {
            let keys = Arc::clone(&held.keys);
            drop(asking);
            return match id {
                Some(id) if !keys.has_key_id(id) => self.ask_for(id, now),
                _ => Lookup::Ready(keys),
            };
        }
        if let Some(flight) = &asking.flight {
            return self.wait(flight.clone(), id);
        }
        match asking.schedule.wait_before_load(now) {
            None => self.depart_for(asking, id),
            Some(wait) => self.unavailable(wait, "it failed of late, and there are no older keys"),
        }
    }

    fn refresh_if_due(&self, now: Duration) {
        if nanos(now) < self.0.refresh_at.load(Ordering::Relaxed) {
            return;
        }
        let asking = self.0.asking();
        let is_due = nanos(now) >= self.0.refresh_at.load(Ordering::Relaxed);
        if is_due && asking.flight.is_none() {
            // Without a runtime there is no refresh, and the keys that are held do until they are too old.
            let _ = self.depart(asking);
        }
    }

    fn depart_for(&self, asking: MutexGuard<'_, Asking<T>>, id: Option<&str>) -> Lookup<T> {
        match self.depart(asking) {
            Ok(flight) => self.wait(flight, id),
            Err(failure) => Lookup::Unavailable(failure.into()),
        }
    }

    /// Starts a fetch, on a task of its own: it goes on when the request that started it is gone.
    fn depart(&self, mut asking: MutexGuard<'_, Asking<T>>) -> Result<Flight<T>, Failure> {
        let Ok(runtime) = Handle::try_current() else {
            return Err(Failure {
                error: self
                    .error("there is no tokio runtime to fetch them on: serve requests in one"),
                retry_after: Duration::from_secs(1),
            });
        };
        self.0.counts.fetches.fetch_add(1, Ordering::Relaxed);
        self.0.refresh_at.store(u64::MAX, Ordering::Relaxed);
        let (trip, flight) = Trip::new(Arc::clone(&self.0));
        asking.flight = Some(flight.clone());
        // A runtime that is shutting down drops the task on the spot, and the trip then lands, which takes this lock.
        drop(asking);
        runtime.spawn(trip.run());
        Ok(flight)
    }

    fn wait(&self, flight: Flight<T>, id: Option<&str>) -> Lookup<T> {
        let shared = Arc::clone(&self.0);
        let id: Option<Box<str>> = id.map(Into::into);
        Lookup::Wait(Box::pin(async move {
            let keys = landed(flight, &shared).await?;
            if let Some(id) = id.filter(|id| !keys.has_key_id(id)) {
                let now = shared.clock.monotonic();
                shared.asking().schedule.note_absent(&id, now);
            }
            Ok(keys)
        }))
    }

    fn unavailable(&self, retry_after: Duration, cause: &'static str) -> Lookup<T> {
        Lookup::Unavailable(Failure { error: self.error(cause), retry_after }.into())
    }
}

impl<T> Held<T> {
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        now < self.unusable_at
    }
}

impl<T> Shared<T> {
    /// Never for longer than it takes to look at a few words. Its state is whole after each statement, so a panic of
    /// whoever held it does no harm.
    pub(super) fn asking(&self) -> MutexGuard<'_, Asking<T>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys that requests may be answered with.
    pub(super) fn usable(&self, now: Duration) -> Guard<Option<Arc<Held<T>>>> {
        let held = self.held.load();
        if held.as_ref().is_some_and(|held| held.is_usable(now)) {
            held
        } else {
            Guard::from_inner(None)
        }
    }

    /// Takes what a fetch has brought.
    pub(super) fn hold(&self, news: News<T>, now: Duration) -> Arc<T> {
        let News { keys, generation, body, max_age } = news;
        let (shortest, longest) = CACHE_RANGE;
        let lifetime = max_age.map_or(self.settings.cache_for, |age| age.clamp(shortest, longest));
        // Before they expire, so that a slow issuer or one failure is not noticed.
        let refresh_at = now + lifetime * 4 / 5;
        tracing::debug!(target: "palisade::auth", from = %self.source.name(), generation, ?lifetime, "keys were loaded");
        self.held.store(Some(Arc::new(Held {
            keys: Arc::clone(&keys),
            body,
            generation,
            loaded_at: now,
            refresh_at,
            unusable_at: now + lifetime + self.settings.max_stale,
        })));
        self.refresh_at.store(nanos(refresh_at), Ordering::Relaxed);
        keys
    }

    /// The issuer did not answer: the keys stay, and the next refresh is not before this.
    pub(super) fn keep_what_is_held(&self, not_before: Duration) {
        let due =
            self.held.load().as_ref().map_or(not_before, |held| held.refresh_at.max(not_before));
        self.refresh_at.store(nanos(due), Ordering::Relaxed);
    }
}

/// Over five hundred years of them fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl<T> Clone for RemoteKeys<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for RemoteKeys<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys")
            .field("source", &self.0.source)
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
