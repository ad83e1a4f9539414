use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::entry::{Key, Stored};

/// What a purge removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purged {
    Everything,
    /// All hosts, queries and callers.
    Path(Box<str>),
    Tag(Box<str>),
    /// What an unsafe method invalidates.
    Key(Key),
}

impl Purged {
    pub(crate) fn concerns(&self, key: &Key, stored: &Stored) -> bool {
        match self {
            Self::Everything => true,
            Self::Path(path) => key.path() == &**path,
            Self::Tag(tag) => stored.tags.contains(tag),
            Self::Key(purged) => key == purged,
        }
    }
}

/// The last purges, by number. A response that the service made before a purge must not be stored after it.
#[derive(Debug, Default)]
pub(super) struct Purges {
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    /// The number of the next purge.
    next: u64,
    /// The purges before it, the last one at the end.
    last: VecDeque<Purged>,
}

/// Responses that are older than this many purges are not stored.
const MOST_REMEMBERED: usize = 1_024;

impl Purges {
    pub(super) fn mark(&self) -> u64 {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).next
    }

    pub(super) fn add(&self, purged: Purged) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.next += 1;
        if log.last.len() == MOST_REMEMBERED {
            log.last.pop_front();
        }
        log.last.push_back(purged);
    }

    /// Returns true if a purge since `mark` concerns the response.
    pub(super) fn concern(&self, mark: u64, key: &Key, stored: &Stored) -> bool {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let since = usize::try_from(log.next.saturating_sub(mark)).unwrap_or(usize::MAX);
        since > log.last.len()
            || log.last.iter().rev().take(since).any(|purged| purged.concerns(key, stored))
    }
}
