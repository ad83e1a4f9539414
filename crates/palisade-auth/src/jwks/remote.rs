use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use palisade_core::{ApiError, BoxError, BoxFuture, Clock};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use super::{
    client::JwksStatus,
    error::{Failure, JwksError},
    schedule::{Attempt, MissingKey, Permission, Schedule},
    snapshot::{Loaded, Snapshot},
    source::Source,
};
use crate::fetch::{Fetch, FetchInProgress, Fetched};

/// The longest key id that is looked up. It is text of the token's author (RFC 7515, section 4.1.4).
const MAX_KEY_ID: usize = 256;

/// What the bytes of a key set are parsed into.
pub(crate) trait KeySet: Send + Sync + Sized + 'static {
    /// Reads a document of at most 256 KiB. A set without keys is valid: the issuer has withdrawn them. An error means
    /// that the document is not a key set, and the keys of the last fetch stay. Caps the number of keys.
    ///
    /// `previous` is the set of the last fetch, so that only changes are logged.
    fn parse(document: &[u8], previous: Option<&Self>) -> Result<Self, BoxError>;

    /// Returns true if the issuer has published a key with this id, including a key that cannot be used: to ask the
    /// issuer again would not help.
    fn has_key_id(&self, id: &str) -> bool;

    /// Returns the number of keys that can be used.
    fn len(&self) -> usize;
}

/// The key set of an issuer: a snapshot that requests read without a lock, and the rules by which it is fetched. Clones
/// share it.
///
/// No lock is held across an await. The mutex guards the schedule and the fetch in progress. Only requests that need a
/// fetch take it: those whose key is not in the snapshot, and those that find the snapshot due for a refresh.
pub(crate) struct RemoteKeys<T>(Arc<Shared<T>>);

/// The keys for a token.
pub(crate) enum Lookup<T> {
    /// The set to search. If the lookup was for a key id, the set has that id.
    Ready(Arc<Snapshot<T>>),
    /// The set is being fetched, once for all requests that wait. It may turn out not to have the key: 401. An error is a
    /// 503.
    Wait(BoxFuture<Result<Arc<Snapshot<T>>, ApiError>>),
    /// The issuer has no such key, or was asked so recently that it is not asked again: 401, `invalid_token`.
    Unknown,
    /// The answer is not known, and waiting would not help: 503 with `Retry-After`.
    Unavailable(ApiError),
}

struct Shared<T> {
    source: Source,
    fetch: Arc<dyn Fetch>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwapOption<Snapshot<T>>,
    fetches: AtomicU64,
    failures: AtomicU64,
    state: Mutex<State<T>>,
    hasher: RandomState,
}

struct State<T> {
    schedule: Schedule,
    in_progress: Option<FetchInProgress<Outcome<T>>>,
}

/// How a fetch ended, for all requests that wait for it.
type Outcome<T> = Result<Arc<Snapshot<T>>, Failure>;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) cache_for: Duration,
    pub(super) cool_down: Duration,
    pub(super) max_stale: Duration,
    pub(super) timeout: Duration,
}

/// What a request needs from a fetch.
#[derive(Clone, Debug)]
enum Need {
    AnyKey,
    KeyId(Box<str>),
    /// Another set than that of this generation, because a signature is not valid under its keys.
    NewerKey {
        generation: u64,
    },
}

impl<T: KeySet> RemoteKeys<T> {
    pub(super) fn new(
        source: Source,
        fetch: Arc<dyn Fetch>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let schedule = Schedule::new(settings.cool_down);
        Self(Arc::new(Shared {
            source,
            fetch,
            settings,
            clock,
            snapshot: ArcSwapOption::empty(),
            fetches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            state: Mutex::new(State { schedule, in_progress: None }),
            hasher: RandomState::new(),
        }))
    }

    /// Returns a number that changes whenever the keys do, or `None` if a request must wait for keys. What was concluded
    /// from keys holds while their generation is returned. Starts a refresh that is due.
    pub(crate) fn generation(&self) -> Option<u64> {
        let now = self.0.clock.monotonic();
        let snapshot = self.0.current(now);
        let snapshot = snapshot.as_ref()?;
        self.refresh_if_due(snapshot, now);
        Some(snapshot.generation())
    }

    /// Returns the keys for a token with this key id, or with none. Starts a refresh that is due.
    pub(crate) fn keys_for(&self, id: Option<&str>) -> Lookup<T> {
        if id.is_some_and(|id| id.len() > MAX_KEY_ID) {
            return Lookup::Unknown;
        }
        let now = self.0.clock.monotonic();
        if let Some(snapshot) = &*self.0.current(now) {
            self.refresh_if_due(snapshot, now);
            if id.is_none_or(|id| snapshot.keys().has_key_id(id)) {
                return Lookup::Ready(Arc::clone(snapshot));
            }
        }
        self.fetch_for(id.map_or(Need::AnyKey, |id| Need::KeyId(id.into())))
    }

    /// Returns newer keys than those of this generation, for a token whose signature is not valid under them: the issuer
    /// may have replaced a key under the same id, or a key without an id. It is asked within the same bounds as for a
    /// missing key.
    pub(crate) fn newer_keys(&self, generation: u64) -> Lookup<T> {
        self.fetch_for(Need::NewerKey { generation })
    }

    /// Fetches the set now, or waits for the fetch in progress, however recently the last one failed.
    pub(super) async fn load(&self) -> Result<(), Failure> {
        let in_progress = {
            let state = self.0.state();
            match &state.in_progress {
                Some(in_progress) => in_progress.clone(),
                None => self.start(state, None)?,
            }
        };
        self.outcome(in_progress).await.map(drop)
    }

    pub(super) fn discovered_issuer(&self) -> Option<&str> {
        self.0.source.discovered_issuer()
    }

    pub(super) fn status(&self) -> JwksStatus {
        let now = self.0.clock.monotonic();
        let snapshot = self.0.snapshot.load();
        let snapshot = snapshot.as_ref();
        let usable = snapshot.filter(|snapshot| snapshot.is_usable(now));
        JwksStatus {
            generation: usable.map_or(0, |snapshot| snapshot.generation()),
            keys: usable.map_or(0, |snapshot| snapshot.keys().len()),
            age: snapshot.map(|snapshot| snapshot.age(now)),
            fetches: self.0.fetches.load(Ordering::Relaxed),
            failures: self.0.failures.load(Ordering::Relaxed),
        }
    }

    pub(super) fn error(&self, cause: impl Into<BoxError>) -> JwksError {
        JwksError::new(self.0.source.name(), cause)
    }

    /// The snapshot does not have what a request needs.
    fn fetch_for(&self, need: Need) -> Lookup<T> {
        let now = self.0.clock.monotonic();
        let mut state = self.0.state();
        // A fetch may have completed since the snapshot was read. While the lock is held, none can.
        let snapshot = self.0.current(now);
        if let Some(snapshot) = snapshot.as_ref().filter(|snapshot| need.is_met_by(snapshot)) {
            return Lookup::Ready(Arc::clone(snapshot));
        }
        let missing = self.0.missing_key(&need);
        if let Some(in_progress) = state.in_progress.clone() {
            missing.into_iter().for_each(|missing| state.schedule.record_missing(missing));
            return self.wait(in_progress, need, false);
        }
        let attempt = match missing.filter(|_| snapshot.is_some()) {
            Some(missing) => match state.schedule.request_attempt(missing, now) {
                Permission::Granted(attempt) => Some(attempt),
                Permission::NoSuchKey => return Lookup::Unknown,
                Permission::RetryAfter(wait) => return self.unavailable(wait),
            },
            None => match state.schedule.backoff_left(now) {
                None => missing.map(|missing| state.schedule.attempt_to_load(missing)),
                Some(wait) => return self.unavailable(wait),
            },
        };
        match self.start(state, attempt.map(|attempt| (attempt, need.clone()))) {
            Ok(in_progress) => self.wait(in_progress, need, true),
            Err(failure) => Lookup::Unavailable(failure.into()),
        }
    }

    fn refresh_if_due(&self, snapshot: &Snapshot<T>, now: Duration) {
        if !snapshot.is_due(now) {
            return;
        }
        let state = self.0.state();
        let is_due = self.0.snapshot.load().as_ref().is_some_and(|snapshot| snapshot.is_due(now));
        if is_due && state.in_progress.is_none() {
            // Without a runtime there is no refresh, and the keys are used until they expire.
            let _ = self.start(state, None);
        }
    }

    /// Starts a fetch on a task of its own: it continues when the request that started it is gone.
    fn start(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        attempt: Option<(Attempt, Need)>,
    ) -> Result<FetchInProgress<Outcome<T>>, Failure> {
        let Ok(runtime) = Handle::try_current() else {
            let cause = "there is no tokio runtime to fetch them on: serve requests in one";
            return Err(Failure { error: self.error(cause), retry_after: Duration::from_secs(1) });
        };
        self.0.fetches.fetch_add(1, Ordering::Relaxed);
        let started = self.0.clock.monotonic();
        // Requests that see this snapshot need not take the lock to find that a refresh is in progress.
        self.0.replace(Snapshot::being_refreshed);
        let (fetching, completing) = (Arc::clone(&self.0), Arc::clone(&self.0));
        let (in_progress, task) = FetchInProgress::new(
            async move { fetching.fetch().await },
            self.0.settings.timeout,
            move |result| completing.complete(result, attempt, started),
        );
        state.in_progress = Some(in_progress.clone());
        // A runtime that is shutting down drops the task at once, which completes the fetch and takes this lock.
        drop(state);
        runtime.spawn(task);
        Ok(in_progress)
    }

    /// Waits for a fetch. One that another request has started may have been answered before the key was published, so
    /// its answer is not the last word; the wait for a second fetch is bounded by the timeout of the first.
    fn wait(
        &self,
        in_progress: FetchInProgress<Outcome<T>>,
        need: Need,
        started_for_this: bool,
    ) -> Lookup<T> {
        let this = self.clone();
        Lookup::Wait(Box::pin(async move {
            let deadline = Instant::now() + this.0.settings.timeout;
            let snapshot = match this.outcome(in_progress).await {
                Ok(snapshot) => snapshot,
                // The issuer does not answer: keys that have expired are used for `max_stale`.
                Err(failure) => {
                    let snapshot = this.0.current(this.0.clock.monotonic());
                    let snapshot = snapshot.as_ref().filter(|snapshot| need.is_met_by(snapshot));
                    return snapshot.cloned().ok_or(failure.into());
                }
            };
            if started_for_this || need.is_met_by(&snapshot) {
                return Ok(snapshot);
            }
            match this.fetch_for(need) {
                Lookup::Ready(newer) => Ok(newer),
                Lookup::Wait(newer) => match timeout_at(deadline, newer).await {
                    Ok(newer) => newer,
                    Err(_) => Err(this.failure(Duration::from_secs(1), "no answer in time").into()),
                },
                Lookup::Unknown => Ok(snapshot),
                Lookup::Unavailable(error) => Err(error),
            }
        }))
    }

    async fn outcome(&self, in_progress: FetchInProgress<Outcome<T>>) -> Outcome<T> {
        let outcome = in_progress.outcome().await;
        outcome.unwrap_or_else(|| Err(self.failure(Duration::from_secs(1), "it was cancelled")))
    }

    fn unavailable(&self, retry_after: Duration) -> Lookup<T> {
        Lookup::Unavailable(self.failure(retry_after, "the last fetch failed").into())
    }

    fn failure(&self, retry_after: Duration, cause: &'static str) -> Failure {
        Failure { error: self.error(cause), retry_after }
    }
}

impl<T: KeySet> Shared<T> {
    /// Holds the lock for a few instructions at a time. The state is complete after each statement, so a panic of another
    /// holder does no harm.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the keys that requests are answered with, unless a request must wait for others.
    fn current(&self, now: Duration) -> Guard<Option<Arc<Snapshot<T>>>> {
        let snapshot = self.snapshot.load();
        if snapshot.as_ref().is_some_and(|snapshot| snapshot.is_current(now)) {
            snapshot
        } else {
            Guard::from_inner(None)
        }
    }

    /// Replaces the snapshot. Only the holder of the lock does.
    fn replace(&self, change: impl FnOnce(&Snapshot<T>) -> Snapshot<T>) {
        if let Some(snapshot) = &*self.snapshot.load() {
            self.snapshot.store(Some(Arc::new(change(snapshot))));
        }
    }

    fn missing_key(&self, need: &Need) -> Option<MissingKey> {
        match need {
            Need::AnyKey => None,
            Need::KeyId(id) => Some(MissingKey::Id(self.hasher.hash_one(id))),
            Need::NewerKey { .. } => Some(MissingKey::Signature),
        }
    }

    async fn fetch(&self) -> Result<Loaded<T>, BoxError> {
        let Fetched { body, max_age } = self.source.fetch(&*self.fetch).await?;
        let previous = self.snapshot.load_full();
        let (keys, generation) = match &previous {
            // The same document leaves valid what was concluded from it.
            Some(previous) if *previous.body() == body => {
                (Arc::clone(previous.keys()), previous.generation())
            }
            Some(previous) => {
                (Arc::new(T::parse(&body, Some(previous.keys()))?), previous.generation() + 1)
            }
            None => (Arc::new(T::parse(&body, None)?), 1),
        };
        Ok(Loaded { keys, generation, body, max_age })
    }

    fn complete(
        &self,
        result: Result<Loaded<T>, BoxError>,
        attempt: Option<(Attempt, Need)>,
        started: Duration,
    ) -> Outcome<T> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        // Under the lock, so that no request starts another fetch before this one has been recorded.
        state.in_progress = None;
        let outcome = match result {
            Ok(loaded) => {
                state.schedule.record_success();
                let snapshot = Arc::new(Snapshot::new(loaded, &self.settings, now));
                if let Some((attempt, need)) = attempt {
                    // Any client can send a bad signature, and a set that was changed does not show that it was good.
                    let found = matches!(need, Need::KeyId(_)) && need.is_met_by(&snapshot);
                    state.schedule.record_attempt(attempt, found, started);
                }
                self.snapshot.store(Some(Arc::clone(&snapshot)));
                Ok(snapshot)
            }
            Err(cause) => {
                let retry_after = state.schedule.record_failure(now);
                self.replace(|snapshot| snapshot.after_failure(now, retry_after));
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(Failure { error: JwksError::new(self.source.name(), cause), retry_after })
            }
        };
        let failures_in_a_row = state.schedule.failures_in_a_row();
        drop(state);
        self.log(&outcome, failures_in_a_row, now);
        outcome
    }

    fn log(&self, outcome: &Outcome<T>, failures_in_a_row: u32, now: Duration) {
        let from = self.source.name();
        match outcome {
            Ok(snapshot) if snapshot.keys().len() == 0 => tracing::warn!(
                target: "palisade::auth",
                %from,
                "the issuer publishes no key for signatures: all its tokens are rejected"
            ),
            Ok(snapshot) => tracing::debug!(
                target: "palisade::auth",
                %from,
                generation = snapshot.generation(),
                keys = snapshot.keys().len(),
                "the keys were loaded"
            ),
            Err(failure) => tracing::warn!(
                target: "palisade::auth",
                %from,
                cause = failure.error.causes(),
                failures_in_a_row,
                retry_after = ?failure.retry_after,
                has_old_keys = self.current(now).is_some(),
                "the keys could not be loaded"
            ),
        }
    }
}

impl Need {
    fn is_met_by<T: KeySet>(&self, snapshot: &Snapshot<T>) -> bool {
        match self {
            Self::AnyKey => true,
            Self::KeyId(id) => snapshot.keys().has_key_id(id),
            Self::NewerKey { generation } => snapshot.generation() != *generation,
        }
    }
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
