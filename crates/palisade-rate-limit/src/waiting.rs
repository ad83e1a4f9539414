//! The queues of requests that wait to be admitted.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use palisade_core::ConfigError;
use tokio::sync::Mutex as Turn;

/// The waiting requests of a limit.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) max_wait: Duration,
    max_waiting: usize,
    /// The number of waiting requests. A decision reads only this while it is 0.
    waiting: AtomicUsize,
    /// The keys of waiting requests.
    queues: Mutex<HashMap<u64, Queue>>,
}

/// The waiting requests of one key.
#[derive(Debug, Default)]
struct Queue {
    /// The request that holds this lock may try to be charged. The lock is fair, so requests are admitted in order.
    turn: Arc<Turn<()>>,
    length: usize,
}

/// A place in a queue, released on drop.
pub(crate) struct QueuePlace<'a> {
    waiting: &'a Waiting,
    key: u64,
    pub(crate) turn: Arc<Turn<()>>,
}

impl Waiting {
    /// # Errors
    ///
    /// If one of the two limits is 0.
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
        // No holder of the lock panics between two writes.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_queue(&self, key: u64) -> bool {
        self.waiting() > 0 && self.queues().contains_key(&key)
    }

    /// Takes a place at the end of the key's queue. Returns `None` if too many requests of all keys or of this key wait, so that
    /// one client cannot take all places.
    pub(crate) fn join(&self, key: u64, most_of_key: u64) -> Option<QueuePlace<'_>> {
        let another = |waiting: usize| (waiting < self.max_waiting).then(|| waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).ok()?;
        let mut queues = self.queues();
        let queue = queues.entry(key).or_default();
        queue.length += 1;
        let (is_full, turn) = (queue.length as u64 > most_of_key, Arc::clone(&queue.turn));
        drop(queues);
        Some(QueuePlace { waiting: self, key, turn }).filter(|_| !is_full)
    }
}

impl Drop for QueuePlace<'_> {
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
