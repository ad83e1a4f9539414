use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// The number of locks that the keys are distributed over.
const SHARDS: usize = 16;

/// The taken slots, in total and by key. A key without slots takes no memory.
pub(super) struct Slots {
    taken: AtomicU32,
    /// SipHash with random keys, because clients choose the input.
    hasher: RandomState,
    by_key: [Mutex<HashMap<u64, u32>>; SHARDS],
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            taken: AtomicU32::new(0),
            hasher: RandomState::new(),
            by_key: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

/// A slot, and the slot of a key. Released on drop.
pub(super) struct Slot {
    slots: Arc<Slots>,
    key: Option<u64>,
}

impl Slots {
    pub(super) fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(super) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes a slot if fewer than `most` are taken.
    pub(super) fn take(self: &Arc<Self>, most: u32) -> Option<Slot> {
        let another = |taken: u32| (taken < most).then(|| taken + 1);
        // Relaxed, because no other memory depends on the count.
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).ok()?;
        Some(Slot { slots: Arc::clone(self), key: None })
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, u32>> {
        let shard = &self.by_key[key as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Takes a slot of the key if fewer than `most` are taken. Returns false otherwise.
    pub(super) fn take_for_key(&mut self, key: u64, most: u32) -> bool {
        let mut shard = self.slots.shard(key);
        let taken = shard.get(&key).copied().unwrap_or(0);
        if taken >= most {
            return false;
        }
        shard.insert(key, taken + 1);
        drop(shard);
        self.key = Some(key);
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.fetch_sub(1, Ordering::Relaxed);
        let Some(key) = self.key else { return };
        if let Entry::Occupied(mut taken) = self.slots.shard(key).entry(key) {
            match taken.get() {
                0 | 1 => drop(taken.remove()),
                more => *taken.get_mut() = more - 1,
            }
        }
    }
}
