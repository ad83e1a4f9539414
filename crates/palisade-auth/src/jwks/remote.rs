use std::{
    fmt,
    sync::{Arc, MutexGuard, atomic::Ordering},
    time::Duration,
};

use palisade_core::{ApiError, BoxError, BoxFuture, Clock};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use super::{
    error::{Failure, JwksError},
    key_set::KeySet,
    schedule::{Attempt, Permission},
    settings::Settings,
    shared::{Fetcher, Need, Outcome, State},
    snapshot::Snapshot,
    source::Source,
    status::JwksStatus,
};
use crate::fetch::{Fetch, FetchInProgress};

/// The longest key id that is looked up. It is text of the token's author (RFC 7515, section 4.1.4).
const MAX_KEY_ID: usize = 256;

/// The key set of an issuer: a snapshot that requests read without a lock, and the rules by which it is fetched. Clones
/// share it.
///
/// No lock is held across an await. The mutex guards the schedule and the fetch in progress. Only requests that need a
/// fetch take it: those whose key is not in the snapshot, and those that find the snapshot due for a refresh.
pub(crate) struct RemoteKeys<T>(Arc<Fetcher<T>>);

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

impl<T: KeySet> RemoteKeys<T> {
    pub(super) fn new(
        source: Source,
        fetch: Arc<dyn Fetch>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Fetcher::new(source, fetch, settings, clock)))
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
    ///
    /// While the issuer does not answer, the result is unavailable (503) and not unknown (401) if it has not confirmed its
    /// keys for a cool-down, because the token may be valid. An attacker who sends forged signatures learns that the issuer
    /// is failing, as with an unknown key id, and causes no further fetches.
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
                Permission::RetryAfter(wait) => {
                    let is_enough = |keys: &Arc<Snapshot<T>>| self.0.is_enough(keys, &need, now);
                    return if snapshot.as_ref().is_some_and(is_enough) {
                        Lookup::Unknown
                    } else {
                        self.unavailable(wait)
                    };
                }
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
            let cause = "no tokio runtime to fetch them: serve the requests in a tokio runtime";
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
                    let now = this.0.clock.monotonic();
                    let snapshot = this.0.current(now);
                    let snapshot =
                        snapshot.as_ref().filter(|keys| this.0.is_enough(keys, &need, now));
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
