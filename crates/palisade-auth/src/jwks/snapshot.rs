use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::settings::Settings;

/// The least and the longest time that an issuer can ask for with `max-age`.
const CACHE_RANGE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// How long after its last failure an issuer counts as failing. Longer than any back-off and timeout, so that a service
/// under load retries within it.
const FAILING_FOR: Duration = Duration::from_secs(150);

/// The keys of the last fetch that succeeded, and when they are to be fetched again. It is replaced, never changed.
pub(crate) struct Snapshot<T> {
    keys: Arc<T>,
    generation: u64,
    body: Bytes,
    loaded_at: Duration,
    /// When the first refresh is due.
    due_at: Duration,
    /// When the next request starts a refresh in the background.
    refresh_at: Duration,
    /// When `cache_for` has passed.
    expires_at: Duration,
    /// When requests wait for the refresh. Later than `expires_at` while the issuer is failing.
    wait_at: Duration,
    /// When `max_stale` has passed.
    unusable_at: Duration,
}

/// The result of a fetch.
pub(super) struct Loaded<T> {
    pub(super) keys: Arc<T>,
    pub(super) generation: u64,
    pub(super) body: Bytes,
    pub(super) max_age: Option<Duration>,
}

impl<T> Snapshot<T> {
    pub(super) fn new(loaded: Loaded<T>, settings: &Settings, now: Duration) -> Self {
        let Loaded { keys, generation, body, max_age } = loaded;
        let (shortest, longest) = CACHE_RANGE;
        let lifetime = max_age.map_or(settings.cache_for, |age| age.clamp(shortest, longest));
        // Before the keys expire, so that requests do not wait for a slow issuer or for a retry.
        let due_at = now + lifetime * 4 / 5;
        let expires_at = now + lifetime;
        Self {
            keys,
            generation,
            body,
            loaded_at: now,
            due_at,
            refresh_at: due_at,
            expires_at,
            wait_at: expires_at,
            unusable_at: expires_at + settings.max_stale,
        }
    }

    /// Returns the same keys while a fetch is in progress: no request starts another.
    pub(super) fn being_refreshed(&self) -> Self {
        Self { refresh_at: Duration::MAX, ..self.copy() }
    }

    /// Returns the same keys after the issuer did not answer: requests do not wait for it while it is failing.
    pub(super) fn after_failure(&self, now: Duration, retry_after: Duration) -> Self {
        Self {
            refresh_at: self.due_at.max(now + retry_after),
            wait_at: self.expires_at.max(now + FAILING_FOR).min(self.unusable_at),
            ..self.copy()
        }
    }

    fn copy(&self) -> Self {
        Self { keys: Arc::clone(&self.keys), body: self.body.clone(), ..*self }
    }

    pub(crate) fn keys(&self) -> &Arc<T> {
        &self.keys
    }

    /// Returns a number that changes whenever the keys do.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.loaded_at)
    }

    /// Returns true if a request may be answered with these keys without waiting.
    pub(super) fn is_current(&self, now: Duration) -> bool {
        now < self.wait_at
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.refresh_at
    }

    pub(super) fn is_usable(&self, now: Duration) -> bool {
        now < self.unusable_at
    }
}
