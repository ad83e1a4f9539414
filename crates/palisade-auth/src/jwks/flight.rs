use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use palisade_core::{ApiError, BoxError};
use tokio::sync::watch;

use super::{
    error::JwksError,
    fetch::Fetched,
    remote::{KeySet, News, Shared},
};

/// How a fetch ended, for all who wait for it.
pub(super) type Outcome<T> = Result<Arc<T>, Failure>;

/// One fetch that is under way. Whoever holds a clone sees it land, and nobody has to: it runs on a task of its own.
pub(super) type Flight<T> = watch::Receiver<Option<Outcome<T>>>;

/// Why there are no new keys, and when to come back.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: JwksError,
    pub(super) retry_after: Duration,
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        // The token may be good and nobody can tell: that is never a 401.
        Self::unavailable().with_retry_after(failure.retry_after).with_source(failure.error)
    }
}

/// Waits for a fetch to land. Dropping the wait does not end the fetch.
pub(super) async fn landed<T>(mut flight: Flight<T>, shared: &Shared<T>) -> Outcome<T> {
    match flight.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        // A trip lands whatever happens to it, so this is for a future version of it that forgets to.
        Ok(None) | Err(_) => Err(Failure {
            error: JwksError::new(shared.source.name(), "the fetch was cut short"),
            retry_after: Duration::from_secs(1),
        }),
    }
}

/// The fetch itself.
pub(super) struct Trip<T: KeySet> {
    shared: Arc<Shared<T>>,
    landing: watch::Sender<Option<Outcome<T>>>,
    has_landed: bool,
}

impl<T: KeySet> Trip<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> (Self, Flight<T>) {
        let (landing, flight) = watch::channel(None);
        (Self { shared, landing, has_landed: false }, flight)
    }

    pub(super) async fn run(mut self) {
        let limit = self.shared.settings.timeout;
        // One limit over all of it, discovery included: it is how long a request may have to wait.
        let news = tokio::time::timeout(limit, self.fetch()).await;
        let news = news.unwrap_or_else(|_| Err(format!("no answer within {limit:?}").into()));
        self.land(news);
    }

    async fn fetch(&self) -> Result<News<T>, BoxError> {
        let Fetched { body, max_age } = self.shared.source.fetch(&*self.shared.fetch).await?;
        // Nobody else replaces what is held while this fetch is under way.
        let now = self.shared.clock.monotonic();
        let (keys, generation) = match &*self.shared.held.load() {
            // The same document leaves everything standing that was concluded from it, unless it was too old meanwhile.
            Some(held) if held.body == body && held.is_usable(now) => {
                (Arc::clone(&held.keys), held.generation)
            }
            held => {
                let generation = held.as_ref().map_or(0, |held| held.generation);
                let previous = held.as_ref().map(|held| &*held.keys);
                (Arc::new(T::parse(&body, previous)?), generation + 1)
            }
        };
        Ok(News { keys, generation, body, max_age })
    }

    fn land(&mut self, news: Result<News<T>, BoxError>) {
        self.has_landed = true;
        let shared = &*self.shared;
        let now = shared.clock.monotonic();
        let mut asking = shared.asking();
        // Under the lock, so that nobody departs again between the landing and the news of it.
        asking.flight = None;
        let outcome = match news {
            Ok(news) => {
                asking.schedule.succeeded();
                Ok(shared.hold(news, now))
            }
            Err(cause) => {
                let retry_after = asking.schedule.failed(now);
                shared.keep_what_is_held(now + retry_after);
                shared.counts.failures.fetch_add(1, Ordering::Relaxed);
                Err(Failure { error: JwksError::new(shared.source.name(), cause), retry_after })
            }
        };
        let failures_in_a_row = asking.schedule.failures_in_a_row();
        drop(asking);
        if let Err(failure) = &outcome {
            tracing::warn!(
                target: "palisade::auth",
                from = %shared.source.name(),
                cause = failure.error.causes(),
                failures_in_a_row,
                retry_after = ?failure.retry_after,
                has_old_keys = shared.usable(now).is_some(),
                "keys could not be loaded"
            );
        }
        self.landing.send_replace(Some(outcome));
    }
}

/// The runtime that carried it shut down, or the client or the parser panicked: those who wait must not wait for ever,
/// and the next request must be able to try again.
impl<T: KeySet> Drop for Trip<T> {
    fn drop(&mut self) {
        if !self.has_landed {
            self.land(Err("the fetch was cut short".into()));
        }
    }
}
