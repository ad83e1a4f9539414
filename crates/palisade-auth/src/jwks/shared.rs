use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use palisade_core::{BoxError, Clock};

use super::{
    error::{Failure, JwksError},
    key_set::KeySet,
    schedule::{Attempt, MissingKey, Schedule},
    settings::Settings,
    snapshot::{Loaded, Snapshot},
    source::Source,
};
use crate::fetch::{Fetch, FetchInProgress, Fetched};

/// What all clones of a [`RemoteKeys`](super::remote::RemoteKeys) share.
pub(super) struct Fetcher<T> {
    pub(super) source: Source,
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) snapshot: ArcSwapOption<Snapshot<T>>,
    pub(super) fetches: AtomicU64,
    pub(super) failures: AtomicU64,
    state: Mutex<State<T>>,
    hasher: RandomState,
}

pub(super) struct State<T> {
    pub(super) schedule: Schedule,
    pub(super) in_progress: Option<FetchInProgress<Outcome<T>>>,
}

/// How a fetch ended, for all requests that wait for it.
pub(super) type Outcome<T> = Result<Arc<Snapshot<T>>, Failure>;

/// What a request needs from a fetch.
#[derive(Clone, Debug)]
pub(super) enum Need {
    AnyKey,
    KeyId(Box<str>),
    /// Another set than that of this generation, because a signature is not valid under its keys.
    NewerKey {
        generation: u64,
    },
}

impl<T: KeySet> Fetcher<T> {
    pub(super) fn new(
        source: Source,
        fetch: Arc<dyn Fetch>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let schedule = Schedule::new(settings.cool_down);
        Self {
            source,
            fetch,
            settings,
            clock,
            snapshot: ArcSwapOption::empty(),
            fetches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            state: Mutex::new(State { schedule, in_progress: None }),
            hasher: RandomState::new(),
        }
    }

    /// Holds the lock for a few instructions at a time. The state is complete after each statement, so a panic of another
    /// holder does no harm.
    pub(super) fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the keys that requests are answered with, unless a request must wait for others.
    pub(super) fn current(&self, now: Duration) -> Guard<Option<Arc<Snapshot<T>>>> {
        let snapshot = self.snapshot.load();
        if snapshot.as_ref().is_some_and(|snapshot| snapshot.is_current(now)) {
            snapshot
        } else {
            Guard::from_inner(None)
        }
    }

    /// Replaces the snapshot. Only the holder of the lock does.
    pub(super) fn replace(&self, change: impl FnOnce(&Snapshot<T>) -> Snapshot<T>) {
        if let Some(snapshot) = &*self.snapshot.load() {
            self.snapshot.store(Some(Arc::new(change(snapshot))));
        }
    }

    /// Returns true if a request is answered with these keys while the issuer does not answer.
    ///
    /// The issuer confirmed the keys within the last `cool_down`: a newer key under the same id need not be known yet, and
    /// a signature that is not valid is one that is forged. Later the issuer may have replaced the key.
    pub(super) fn is_enough(&self, snapshot: &Snapshot<T>, need: &Need, now: Duration) -> bool {
        let is_recent = snapshot.age(now) < self.settings.cool_down;
        need.is_met_by(snapshot) || (is_recent && matches!(need, Need::NewerKey { .. }))
    }

    pub(super) fn missing_key(&self, need: &Need) -> Option<MissingKey> {
        match need {
            Need::AnyKey => None,
            Need::KeyId(id) => Some(MissingKey::Id(self.hasher.hash_one(id))),
            Need::NewerKey { .. } => Some(MissingKey::Signature),
        }
    }

    pub(super) async fn fetch(&self) -> Result<Loaded<T>, BoxError> {
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

    pub(super) fn complete(
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
    pub(super) fn is_met_by<T: KeySet>(&self, snapshot: &Snapshot<T>) -> bool {
        match self {
            Self::AnyKey => true,
            Self::KeyId(id) => snapshot.keys().has_key_id(id),
            Self::NewerKey { generation } => snapshot.generation() != *generation,
        }
    }
}
