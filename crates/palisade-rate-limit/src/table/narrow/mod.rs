//! The table with one atomic word for each key of a window counter: seven words and a header in a cache line.
//!
//! ```text
//! slot:    tag 24 | window 8 | count of the previous window 16 | count of this window 16
//! header:  window 32
//! ```
//!
//! A key that has a slot is charged by one compare-and-swap of its whole word, so the decision is made from exactly the value
//! that it replaces, without a lock. A rejection writes nothing.
//!
//! The costs of the packing, and their remedies:
//!
//! - **Counts have 16 bits**, so larger limits go into the [wide](super::wide) table.
//! - **Tags have 24 bits**: one new key in 1.2 million is taken for one of the fourteen keys in its buckets, and the two share
//!   one quota. This rejects too much, except for a key in its spare bucket if a new key with the same tag takes a slot at its
//!   home; clients cannot cause either.
//! - **Slots contain their window modulo 256.** The header of the bucket has 32 bits of it. A thread that finds a header older
//!   than [`SWEPT_WITHIN`] windows clears expired slots and updates the header, before the window of a slot could become
//!   ambiguous. Windows shorter than a tenth of a second go into the wide table: no thread is suspended for 128 longer windows
//!   between two instructions.
//!
//! The two buckets of a key are in one group of [`GROUP`], which is a page of memory: a lookup of a new key takes one address
//! translation, and both buckets are fetched at once. Each bucket follows from the other and the tag, so an evicted key is
//! recorded in the [sketch](super::sketch) under a unique id: its even bucket and its tag.
//!
//! A new key takes the lock of its group, so that no key gets two slots, and only one thread at a time writes a header. Keys
//! with a slot are still charged without the lock: then the compare-and-swap of the new key fails, and it tries again.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

mod bucket;

use self::bucket::{Bucket, Known, LARGEST_LIMIT, Lookup, Scan, Tag};
use super::{
    Effect,
    memory::{Lock, Machine, Memory, Word},
    placement::scaled,
    sketch::{Sketch, Used},
};
use crate::{
    Standing,
    algorithm::{
        Outcome,
        window::{Counts, Moment, Window},
    },
};

const SLOTS: usize = 7;

/// With four of seven slots taken, fewer than one key in a hundred thousand finds both of its buckets full.
const KEYS_PER_BUCKET: usize = 4;

const SHORTEST_WINDOW: u64 = 100_000_000;

/// The buckets of a group: 4 KiB.
const GROUP: usize = 64;

/// The locks for new keys, shared by groups: few enough to stay in a processor's cache.
const MOST_LOCKS: usize = 1024;

/// Parts of the sketch, each with a lock.
const MOST_SKETCHES: usize = 256;
/// Enough keys that the parts get similar numbers of them.
const FEWEST_KEYS: usize = 1024;

/// The table. `S` is the number of slots of a bucket, which is smaller in the model.
#[derive(Debug)]
pub(crate) struct Narrow<M: Memory = Machine, const S: usize = SLOTS> {
    buckets: Box<[Bucket<M, S>]>,
    new_key_locks: Box<[CacheLine<M::Lock>]>,
    /// The counts of evicted keys. These locks are taken last, and one at a time.
    sketches: Box<[Mutex<Sketch>]>,
    /// The window in which the counts of the last evicted key expire, or 0. Until a key is evicted, the sketch is not read.
    forgotten_in: AtomicU64,
    /// Keys that were evicted while they had counts. Only new keys write it.
    evicted: AtomicU64,
    /// Requests that were rejected because of the counts of evicted keys.
    floor_reached: AtomicU64,
}

/// Aligns a value to its own cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct CacheLine<T>(T);

/// Returns true if the counts of this window fit.
pub(super) fn holds(window: &Window) -> bool {
    window.limit() <= LARGEST_LIMIT && window.length() >= SHORTEST_WINDOW
}

impl<M: Memory, const S: usize> Narrow<M, S> {
    /// Creates a table for this many active keys with counts up to `limit`, in 32 bytes for each key. `None` if there is not enough
    /// memory.
    pub(super) fn for_keys(keys: usize, limit: u32) -> Option<Self> {
        let count = keys.div_ceil(KEYS_PER_BUCKET).max(2);
        let count = match count {
            ..GROUP => count.next_power_of_two(),
            _ => count.checked_next_multiple_of(GROUP)?,
        };
        let groups = count.div_ceil(GROUP);
        let sketches = (keys / FEWEST_KEYS).next_power_of_two().min(MOST_SKETCHES);
        let sketch = |_| Sketch::for_keys(keys.div_ceil(sketches), limit).map(Mutex::new);
        Some(Self {
            buckets: boxed(count)?,
            new_key_locks: boxed(groups.next_power_of_two().min(MOST_LOCKS))?,
            sketches: (0..sketches).map(sketch).collect::<Option<_>>()?,
            forgotten_in: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            floor_reached: AtomicU64::new(0),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let sketches: usize = self.sketches.iter().map(|sketch| held(sketch).bytes()).sum();
        size_of_val(&*self.buckets)
            + size_of_val(&*self.new_key_locks)
            + size_of_val(&*self.sketches)
            + sketches
    }

    /// Returns the contents of the table as text.
    #[cfg(test)]
    pub(super) fn contents(&self) -> String {
        format!("{:?} {:?}", self.buckets, self.sketches)
    }

    pub(super) fn floor_reached(&self) -> u64 {
        self.floor_reached.load(Ordering::Relaxed)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Returns how many slots are taken. Reads the whole table.
    pub(super) fn taken(&self) -> usize {
        let slots = self.buckets.iter().flat_map(|bucket| &bucket.slots);
        slots.filter(|slot| slot.load() != 0).count()
    }

    /// Charges a request if it fits. Otherwise changes nothing and returns `None`.
    ///
    /// The path for keys that were charged in this window before, which are nearly all, is inlined.
    #[inline(always)]
    pub(super) fn try_charge(
        &self,
        window: &Window,
        key: u64,
        now: u64,
        cost: u32,
    ) -> Option<Standing> {
        let now = window.moment(now);
        let (home, spare) = self.buckets_of(key);
        let (home, spare) = (&self.buckets[home], &self.buckets[spare]);
        // Early, so that it is in the cache if the key is not at home: a quarter of the keys of a table that is full.
        spare.fetch();
        let tag = Tag::from_hash(key);
        let mut known = home.charge_known(window, tag, now, cost);
        if matches!(known, Known::Absent) {
            known = spare.charge_known(window, tag, now, cost);
        }
        match known {
            Known::Charged(counts) => Some(Standing::from_window(window.standing_now(counts, now))),
            Known::Absent => {
                self.decide_new_key(window, key, now, cost, Effect::TryCharge).admitted()
            }
            Known::Undecided => self.decide(window, key, now, cost, Effect::TryCharge).admitted(),
        }
    }

    pub(super) fn charge(&self, window: &Window, key: u64, now: u64, cost: u32) -> Outcome {
        let effect = if cost > 0 { Effect::Charge } else { Effect::Look };
        self.decide(window, key, window.moment(now), cost, effect)
    }

    pub(super) fn look(&self, window: &Window, key: u64, now: u64, cost: u32) -> Outcome {
        let look = |cost| self.decide(window, key, window.moment(now), cost, Effect::Look);
        look(cost).uncharged(|| look(0))
    }

    #[inline(never)]
    fn decide(&self, window: &Window, key: u64, now: Moment, cost: u32, effect: Effect) -> Outcome {
        let (home, spare) = self.buckets_of(key);
        self.buckets[spare].fetch();
        for bucket in [home, spare] {
            let tag = Tag::from_hash(key);
            match self.buckets[bucket].decide(window, tag, now, cost, effect.charges()) {
                Lookup::Decided(outcome) => return outcome,
                Lookup::Absent => {}
                Lookup::Unswept => break,
            }
        }
        self.decide_new_key(window, key, now, cost, effect)
    }

    pub(super) fn refund(&self, window: &Window, key: u64, charged_at: u64, amount: u32) {
        let (home, spare) = self.buckets_of(key);
        let tag = Tag::from_hash(key);
        for bucket in [home, spare] {
            if self.buckets[bucket].refund(window, tag, charged_at, amount) {
                return;
            }
        }
        // Nothing is returned to an evicted key, because it may share its cells of the sketch with other keys.
    }

    /// Sweeps the two buckets of a key, and gives a new key a slot if its request is admitted.
    #[inline(never)]
    fn decide_new_key(
        &self,
        window: &Window,
        key: u64,
        now: Moment,
        cost: u32,
        effect: Effect,
    ) -> Outcome {
        let (home, spare) = self.buckets_of(key);
        let _lock = self.lock(home);
        let tag = Tag::from_hash(key);
        let id = self.id_of(home, tag);
        loop {
            let (here, there) = (&self.buckets[home], &self.buckets[spare]);
            let (at_home, at_spare) = (here.scan(tag, now), there.scan(tag, now));
            let newest = now.index.max(at_home.newest).max(at_spare.newest);
            let known = self.used(id, newest, window.limit());
            let at = window.no_earlier_than(now, known.epoch.max(newest));
            if here.sweep(window, at) | there.sweep(window, at) {
                continue;
            }
            // Another thread may have given the key a slot before the lock was ours.
            if at_home.is_found || at_spare.is_found {
                for bucket in [here, there] {
                    let found = bucket.decide(window, tag, now, cost, effect.charges());
                    if let Lookup::Decided(outcome) = found {
                        return outcome;
                    }
                }
            }
            let cap = |count: u32| count.min(LARGEST_LIMIT);
            let inherited = Counts {
                index: known.epoch,
                previous: cap(known.previous),
                current: cap(known.current),
            };
            let inherited = window.roll(inherited, at.index);
            let (charged, outcome) = window.decide(inherited, at, cost);
            let is_refused = matches!(outcome, Outcome::Refused { .. });
            if is_refused && effect == Effect::Charge && !known.is_nothing() {
                self.floor_reached.fetch_add(1, Ordering::Relaxed);
            }
            if is_refused || !effect.charges() {
                return outcome;
            }
            if self.insert([home, spare], at_home, window, tag.with(charged), at) {
                return outcome;
            }
        }
    }

    /// Puts a new key into the better of two buckets. Returns false if a concurrent charge has changed the slot.
    fn insert(
        &self,
        [home, spare]: [usize; 2],
        found: Scan,
        window: &Window,
        newcomer: u64,
        at: Moment,
    ) -> bool {
        let (index, slot, word) = match found.empty {
            // Equals the decision of `Vacancy` for a home that is at most half full, without weighing all slots.
            Some(slot) if found.taken <= S / 2 => (home, slot, 0),
            _ => {
                let words = [home, spare].map(|bucket| self.buckets[bucket].words());
                let at_home = self.buckets[home].vacancy(&words[0], window, at);
                let at_spare = self.buckets[spare].vacancy(&words[1], window, at);
                if at_spare.is_better_than(&at_home) {
                    (spare, at_spare.slot, words[1][at_spare.slot])
                } else {
                    (home, at_home.slot, words[0][at_home.slot])
                }
            }
        };
        if word == 0 {
            return self.buckets[index].slots[slot].replace(0, newcomer);
        }
        let bucket = &self.buckets[index];
        let leaving = window.roll(bucket.counts(word, at), at.index);
        let evicts = !leaving.is_idle();
        if evicts {
            // Before the slot is replaced, so that the evicted key finds its counts at any time.
            let Counts { index: epoch, previous, current } = leaving;
            let id = self.id_of(index, Tag::from_word(word));
            held(self.sketch_of(id)).record(id, Used { epoch, previous, current });
            self.forgotten_in.fetch_max(epoch.saturating_add(2), Ordering::Relaxed);
        }
        let is_inserted = bucket.slots[slot].replace(word, newcomer);
        if evicts && is_inserted {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        is_inserted
    }

    /// Returns the counts of a key at its eviction.
    fn used(&self, id: u64, epoch: u64, limit: u32) -> Used {
        // No key was evicted for two windows. Relaxed is enough: the evicting thread has held the lock of the key's group.
        if self.forgotten_in.load(Ordering::Relaxed) <= epoch {
            return Used { epoch, ..Used::default() };
        }
        held(self.sketch_of(id)).used(id, epoch, limit)
    }

    fn sketch_of(&self, id: u64) -> &Mutex<Sketch> {
        &self.sketches[id as usize & (self.sketches.len() - 1)]
    }

    /// Returns the id of a key in the sketch: its even bucket and its tag.
    fn id_of(&self, bucket: usize, tag: Tag) -> u64 {
        let even = if bucket.is_multiple_of(2) { bucket } else { self.partner_of(bucket, tag) };
        // The lowest bits of the id, which choose the part of the sketch, are those of the tag.
        (even as u64) << 24 | tag.0
    }

    /// Returns the two different buckets of a key.
    #[inline]
    fn buckets_of(&self, key: u64) -> (usize, usize) {
        let home = scaled(key, self.buckets.len());
        (home, self.partner_of(home, Tag::from_hash(key)))
    }

    /// Returns the other bucket of a key with this tag in `bucket`. One of the two is even.
    #[inline]
    fn partner_of(&self, bucket: usize, tag: Tag) -> usize {
        // The multiplier is 2^64 divided by the golden ratio. A table smaller than a group has a power of two of buckets.
        let mixture = tag.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        bucket ^ ((mixture as usize & (self.buckets.len().min(GROUP) - 1)) | 1)
    }

    /// Empties the slot of a key.
    pub(super) fn reset(&self, key: u64) {
        let (home, spare) = self.buckets_of(key);
        let _lock = self.lock(home);
        for bucket in [home, spare] {
            while let Some((slot, word)) = self.buckets[bucket].find(Tag::from_hash(key)) {
                if self.buckets[bucket].slots[slot].replace(word, 0) {
                    break;
                }
            }
        }
    }

    /// Takes the lock of the group of a bucket.
    fn lock(&self, bucket: usize) -> <M::Lock as Lock>::Guard<'_> {
        self.new_key_locks[(bucket / GROUP) & (self.new_key_locks.len() - 1)].0.lock()
    }
}

/// Locks a part of the sketch. No holder of the lock panics between two writes.
fn held(sketch: &Mutex<Sketch>) -> MutexGuard<'_, Sketch> {
    sketch.lock().unwrap_or_else(PoisonError::into_inner)
}

fn boxed<T: Default>(count: usize) -> Option<Box<[T]>> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).ok()?;
    items.resize_with(count, T::default);
    Some(items.into_boxed_slice())
}

#[cfg(test)]
mod model;
