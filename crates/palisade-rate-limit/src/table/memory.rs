//! The memory operations of the narrow table, which a model checker can replace.

use std::{
    fmt::Debug,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The machine's memory, or a model of it.
pub(crate) trait Memory: Debug + 'static {
    type Word: Word;
    type Lock: Lock;
}

/// 64 bits that are shared by threads.
pub(crate) trait Word: Debug + Default + Send + Sync {
    /// Loads the value with acquire ordering.
    fn load(&self) -> u64;
    fn store(&self, value: u64);
    /// Replaces `from` by `to`. Returns false if the value is not `from`.
    fn replace(&self, from: u64, to: u64) -> bool;
}

pub(crate) trait Lock: Debug + Default + Send + Sync {
    type Guard<'a>
    where
        Self: 'a;
    fn lock(&self) -> Self::Guard<'_>;
}

/// The machine's memory.
#[derive(Debug)]
pub(crate) struct Machine;

impl Memory for Machine {
    type Word = AtomicU64;
    type Lock = Mutex<()>;
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn store(&self, value: u64) {
        self.store(value, Ordering::Release);
    }

    #[inline]
    fn replace(&self, from: u64, to: u64) -> bool {
        self.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl Lock for Mutex<()> {
    type Guard<'a> = MutexGuard<'a, ()>;

    fn lock(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data, so a panic cannot leave any half written.
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
