//! What the narrow table needs of the machine, so that a model checker can stand in for it.

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

/// 64 bits that threads share.
pub(crate) trait Word: Debug + Default + Send + Sync {
    /// Sees what was written before the value that it reads.
    fn load(&self) -> u64;
    fn store(&self, value: u64);
    /// Writes `to` where `from` still is.
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
        // It guards no data of its own that a panic could leave half written.
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
