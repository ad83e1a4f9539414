//! A request that waits to be admitted instead of being rejected.

use std::{sync::Arc, time::Duration};

use palisade_core::{Decision, Halt};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    Admission, Key, Quota, attempt::Attempt, limiter::Limiter, quota_source::Chosen,
    waiting::Waiting,
};

/// The resolution of tokio's timers.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Returns how long a request that is over its quotas has to wait.
fn wait_of(halt: &Halt) -> Option<Duration> {
    match halt {
        Halt::Refuse(error) if is_over_quota(halt) => error.retry_after(),
        _ => None,
    }
}

/// Returns true for a rejection because of quotas. False if the key is blocked or a store failed.
fn is_over_quota(halt: &Halt) -> bool {
    matches!(halt, Halt::Refuse(error) if !error.quota_violations().is_empty())
}

/// A request that may wait.
pub(crate) struct WaitingRequest<K> {
    pub(crate) limit: Arc<Limiter<K>>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) attempt: Attempt,
    /// The digest of the key, if the limit has a store.
    pub(crate) digest: Option<[u8; 16]>,
    pub(crate) chosen: Option<Chosen>,
}

impl<K: Key> WaitingRequest<K> {
    /// Decides about a request, at once if it is admitted or cannot be admitted in time.
    pub(crate) fn decide(self) -> Decision<Admission> {
        // Requests of the key that wait already are admitted first.
        let first = match self.waiting.has_queue(self.attempt.hash) {
            true => None,
            false => match self.attempt(true) {
                Decision::Now(Err(halt)) if self.is_due_in_time(&halt) => None,
                Decision::Now(Err(halt)) if is_over_quota(&halt) => return self.attempt(false),
                Decision::Now(Err(halt)) => return Decision::Now(Err(halt)),
                Decision::Now(Ok(admission)) => return Decision::grant(admission),
                Decision::Later(first) => Some(first),
            },
        };
        if Handle::try_current().is_err() {
            return self.attempt(false);
        }
        Decision::later(async move {
            if let Some(first) = first {
                match first.await {
                    Err(halt) if self.is_due_in_time(&halt) => {}
                    Err(halt) if is_over_quota(&halt) => return self.attempt_last().await,
                    outcome => return outcome,
                }
            }
            self.wait().await
        })
    }

    /// Waits for the request's turn, and then until it is admitted.
    async fn wait(self) -> Result<Admission, Halt> {
        let deadline = Instant::now() + self.waiting.max_wait;
        let Some(place) = self.waiting.join(self.attempt.hash, self.most_in_time()) else {
            return self.attempt_last().await;
        };
        let Ok(_turn) = timeout_at(deadline, place.turn.lock()).await else {
            return self.attempt_last().await;
        };
        loop {
            let halt = match resolved(self.attempt(true)).await {
                Err(halt) if is_over_quota(&halt) => halt,
                outcome => return outcome,
            };
            let due = wait_of(&halt).map(|wait| Instant::now() + wait.max(SHORTEST_SLEEP));
            match due.filter(|due| *due <= deadline) {
                Some(due) => sleep_until(due).await,
                None => return self.attempt_last().await,
            }
        }
    }

    /// Returns how many requests of a key can be admitted within the longest wait. Further requests could only time out.
    fn most_in_time(&self) -> u64 {
        let most = |quota: &Quota| {
            let windows = self.waiting.max_wait.as_nanos() / quota.window().as_nanos().max(1) + 1;
            u64::from(quota.limit()).saturating_mul(windows.try_into().unwrap_or(u64::MAX))
        };
        let quotas = match &self.chosen {
            Some(chosen) => Arc::clone(&chosen.quotas),
            None => self.limit.quotas.without_request(),
        };
        quotas.iter().map(most).min().unwrap_or(0)
    }

    /// Makes the last attempt, whose rejection is counted.
    async fn attempt_last(&self) -> Result<Admission, Halt> {
        resolved(self.attempt(false)).await
    }

    /// Makes an attempt. A rejection is not counted if the request may still wait.
    fn attempt(&self, may_wait: bool) -> Decision<Admission> {
        let attempt = Attempt { may_wait, ..self.attempt };
        let digest = || self.digest.unwrap_or_default();
        self.limit.attempt(attempt, digest, self.chosen.clone())
    }

    fn is_due_in_time(&self, halt: &Halt) -> bool {
        wait_of(halt).is_some_and(|wait| wait <= self.waiting.max_wait)
    }
}

async fn resolved(decision: Decision<Admission>) -> Result<Admission, Halt> {
    match decision {
        Decision::Now(outcome) => outcome,
        Decision::Later(outcome) => outcome.await,
    }
}
