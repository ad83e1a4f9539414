use std::{
    cell::RefCell,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use thread_local::ThreadLocal;

use super::{
    entry::{Entry, Lease, ThreadEntry},
    table::weight,
};

/// The most tokens that a thread has at hand.
const MAX_SLOTS: usize = 256;

/// The most memory that the tokens at hand of a thread keep from being freed, in bytes.
const MAX_WEIGHT: usize = 512 * 1024;

/// The tokens that one thread sees most, where it finds them without a lock.
///
/// A token has one slot, by its hash. It gets in when the thread sees it twice without seeing the slot's owner in between.
/// Tokens that come once, and tokens that are many, leave those that come often alone.
///
/// It has cache lines of its own: `ThreadLocal` stores the values of several threads side by side, and each look-up writes
/// to the value of its thread.
#[repr(align(128))]
pub(super) struct ThreadCache<C> {
    pub(super) counts: Arc<Counts>,
    slots: RefCell<Slots<C>>,
}

struct Slots<C> {
    slots: Box<[Slot<C>]>,
    weight: usize,
    max_weight: usize,
    /// The slot that is emptied next if the weight is too much.
    next: usize,
}

struct Slot<C> {
    /// Of the token in this slot.
    hash: u64,
    /// Of the token that was seen last, if it is another.
    candidate: u64,
    entry: Option<Arc<ThreadEntry<C>>>,
}

/// The caches of all threads. Their types need claims that are `Send`, and types that contain this need not.
pub(super) trait Threads<C>: Send + Sync {
    /// Returns the cache of this thread. Creates it at the first call.
    fn this(&self, create: &dyn Fn() -> ThreadCache<C>) -> &ThreadCache<C>;
}

impl<C: Send + Sync> Threads<C> for ThreadLocal<ThreadCache<C>> {
    fn this(&self, create: &dyn Fn() -> ThreadCache<C>) -> &ThreadCache<C> {
        self.get_or(create)
    }
}

impl<C> ThreadCache<C> {
    /// Creates a cache for about so many tokens in so many bytes, and at most [`MAX_SLOTS`] and [`MAX_WEIGHT`].
    pub(super) fn new(slots: usize, bytes: usize, counts: Arc<Counts>) -> Self {
        let slots = slots.clamp(1, MAX_SLOTS).next_power_of_two();
        let empty = || Slot { hash: 0, candidate: 0, entry: None };
        let slots = Slots {
            slots: (0..slots).map(|_| empty()).collect(),
            weight: 0,
            max_weight: bytes.min(MAX_WEIGHT),
            next: 0,
        };
        Self { counts, slots: RefCell::new(slots) }
    }

    pub(super) fn find(
        &self,
        hash: u64,
        token: &[u8],
        is_current: impl Fn(&Lease) -> bool,
    ) -> Option<Arc<ThreadEntry<C>>> {
        let mut slots = self.slots.try_borrow_mut().ok()?;
        let slots = &mut *slots;
        let at = slots.position(hash);
        let slot = &mut slots.slots[at];
        if slot.hash != hash {
            return None;
        }
        let found = slot.entry.as_ref().filter(|held| held.entry.is_for(hash, token))?;
        if !is_current(&found.entry.lease) {
            return None;
        }
        slot.candidate = 0;
        Some(Arc::clone(found))
    }

    /// Records that the thread has seen a token that it did not find here. Returns the entry for this thread if it is to
    /// find it from now on.
    pub(super) fn see(&self, entry: &Arc<Entry<C>>) -> Option<Arc<ThreadEntry<C>>> {
        let mut removed = Vec::new();
        // The claims that are removed are of a type of the user, and dropped when the borrow has ended.
        let admitted = self.slots.try_borrow_mut().ok()?.see(entry, &mut removed);
        drop(removed);
        admitted
    }
}

impl<C> Slots<C> {
    fn see(
        &mut self,
        entry: &Arc<Entry<C>>,
        removed: &mut Vec<Arc<ThreadEntry<C>>>,
    ) -> Option<Arc<ThreadEntry<C>>> {
        let (at, own) = (self.position(entry.hash), weight(entry.token()));
        let before = mem::replace(&mut self.slots[at].candidate, entry.hash);
        if before != entry.hash || own > self.max_weight {
            return None;
        }
        removed.extend(self.take(at));
        while self.weight + own > self.max_weight {
            self.next = (self.next + 1) % self.slots.len();
            removed.extend(self.take(self.next));
        }
        self.weight += own;
        let admitted = ThreadEntry::new(Arc::clone(entry));
        let entry = Some(Arc::clone(&admitted));
        self.slots[at] = Slot { hash: admitted.entry.hash, candidate: 0, entry };
        Some(admitted)
    }

    fn take(&mut self, at: usize) -> Option<Arc<ThreadEntry<C>>> {
        let taken = self.slots[at].entry.take();
        self.weight -= taken.as_ref().map_or(0, |taken| weight(taken.entry.token()));
        taken
    }

    /// The table takes the high bits of a hash, this the low ones.
    fn position(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }
}

/// What one thread has counted. Only that thread writes it, and no other's counts are on the same cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) evictions: AtomicU64,
}

/// The counts of all threads.
#[derive(Debug, Default)]
pub(super) struct AllCounts(Mutex<Vec<Arc<Counts>>>);

impl AllCounts {
    /// Returns the counts of another thread, which are part of the sum from now on.
    pub(super) fn add_thread(&self) -> Arc<Counts> {
        let counts = Arc::<Counts>::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counts));
        counts
    }

    pub(super) fn sum(&self, count: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        let threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().map(|counts| count(counts).load(Ordering::Relaxed)).sum()
    }
}

/// Adds to a count of this thread. No other thread writes it, so it takes no locked instruction.
pub(super) fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
