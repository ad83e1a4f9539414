//! Requests that wait until they are admitted, in place of a rejection.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use palisade_core::{ConfigError, Decision, Halt};
use tokio::{
    runtime::Handle,
    sync::Mutex as Turn,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    Admission, Key, Quota, RateLimit,
    attempt::{Attempt, Chosen},
};

/// tokio's timers are that exact.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// The requests of a limit that wait.
#[derive(Debug)]
pub(crate) struct Waiting {
    max_wait: Duration,
    max_waiting: usize,
    /// While no request waits, a decision reads this and nothing else.
    waiting: AtomicUsize,
    /// The keys of waiting requests.
    queues: Mutex<HashMap<u64, Queue>>,
}

/// The waiting requests of one key.
#[derive(Debug, Default)]
struct Queue {
    /// Held by the request whose turn it is. The others get it in the order in which they came.
    turn: Arc<Turn<()>>,
    length: usize,
}

/// A place among the waiting requests. Dropping it gives it back.
struct Place<'a> {
    waiting: &'a Waiting,
    key: u64,
    turn: Arc<Turn<()>>,
}

impl Waiting {
    /// # Errors
    ///
    /// If no request could wait.
    pub(crate) fn new(max_wait: Duration, max_waiting: usize) -> Result<Self, ConfigError> {
        if max_wait.is_zero() {
            let remedy =
                "choose how long a request may wait, such as one second, or leave wait(…) out";
            return Err(ConfigError::new("max_wait", format_args!("{max_wait:?}"), remedy));
        }
        if max_waiting == 0 {
            let remedy = "choose how many requests may wait at the same time, such as 1000, or leave wait(…) out";
            return Err(ConfigError::new("max_waiting", max_waiting, remedy));
        }
        let (waiting, queues) = (AtomicUsize::new(0), Mutex::default());
        Ok(Self { max_wait, max_waiting, waiting, queues })
    }

    /// Returns how many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<u64, Queue>> {
        // Queues are written whole.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_queue(&self, key: u64) -> bool {
        self.waiting() > 0 && self.queues().contains_key(&key)
    }

    /// Takes a place at the end of the key's queue. `None` if too many requests wait, of all keys or of this one: a client
    /// that sends many at once must not take all places.
    fn join(&self, key: u64, most_of_key: u64) -> Option<Place<'_>> {
        let another = |waiting: usize| (waiting < self.max_waiting).then(|| waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).ok()?;
        let mut queues = self.queues();
        let queue = queues.entry(key).or_default();
        queue.length += 1;
        let (is_full, turn) = (queue.length as u64 > most_of_key, Arc::clone(&queue.turn));
        drop(queues);
        Some(Place { waiting: self, key, turn }).filter(|_| !is_full)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut queue) = self.waiting.queues().entry(self.key) {
            match queue.get().length {
                0 | 1 => drop(queue.remove()),
                _ => queue.get_mut().length -= 1,
            }
        }
        self.waiting.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns how long a request has to wait that was refused because of its quotas.
fn wait_of(halt: &Halt) -> Option<Duration> {
    match halt {
        Halt::Refuse(error) if is_over_quota(halt) => error.retry_after(),
        _ => None,
    }
}

/// Returns true if a request was refused because of its quotas, and not because its key is blocked or a store failed.
fn is_over_quota(halt: &Halt) -> bool {
    matches!(halt, Halt::Refuse(error) if !error.quota_violations().is_empty())
}

/// A request that waits if it has to.
pub(crate) struct Patient<K> {
    pub(crate) limit: RateLimit<K>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) attempt: Attempt,
    /// Of the key, if the limit has a store.
    pub(crate) digest: Option<[u8; 16]>,
    pub(crate) chosen: Option<Chosen>,
}

impl<K: Key> Patient<K> {
    /// Decides about a request: at once if it is admitted, or if it could not be admitted in time.
    pub(crate) fn decide(self) -> Decision<Admission> {
        // Requests that came before are admitted before.
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

    /// Waits for its turn, and then until it is admitted.
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

    /// Returns how many requests of a key can be admitted at most while one waits: more of them would wait in vain.
    fn most_in_time(&self) -> u64 {
        let most = |quota: &Quota| {
            let windows = self.waiting.max_wait.as_nanos() / quota.window().as_nanos().max(1) + 1;
            u64::from(quota.limit()).saturating_mul(windows.try_into().unwrap_or(u64::MAX))
        };
        let quotas = match &self.chosen {
            Some(chosen) => Arc::clone(&chosen.quotas),
            None => self.limit.quotas_without_request(),
        };
        quotas.iter().map(most).min().unwrap_or(0)
    }

    /// Asks for the last time: a rejection is counted.
    async fn attempt_last(&self) -> Result<Admission, Halt> {
        resolved(self.attempt(false)).await
    }

    /// Asks the limit. A rejection is not counted if the request may still wait.
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
