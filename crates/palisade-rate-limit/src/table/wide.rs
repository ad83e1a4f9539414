//! The table for algorithms that need several words for each key, under one of many locks.
//!
//! The table is divided into shards, each with a lock and an equal part of the buckets; both buckets of a key are in one
//! shard. A decision holds the lock of its shard for as long as the arithmetic takes, never across an await.

use std::{
    num::NonZeroU64,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Effect,
    placement::{Vacancy, buckets_of},
    sketch::{Sketch, Used},
};
use crate::{
    Standing,
    algorithm::{AnyMeter, Meter, Outcome, window::Window},
};

const SLOTS: usize = 8;

/// Three quarters full, fewer than one key in ten thousand finds both of its buckets full.
const KEYS_PER_BUCKET: usize = 6;

/// Few enough that shards get similar numbers of keys, and enough that threads seldom wait for the same lock.
const MOST_SHARDS: usize = 256;
const FEWEST_BUCKETS: usize = 256;

#[derive(Debug)]
pub(crate) struct Wide {
    shards: Box<[Mutex<Shard>]>,
    /// The words of one key.
    words: usize,
    /// The length of an epoch of the sketches. A charge of one epoch no longer counts after the next.
    epoch: NonZeroU64,
    /// Requests that were rejected because of the counts of evicted keys.
    floor_reached: AtomicU64,
}

/// A part of the table. A bucket consists of the tags of its slots, followed by the words of its slots.
#[derive(Debug)]
#[repr(align(64))]
struct Shard {
    /// The latest time of a decision in this shard. Earlier times are replaced by it, so that time never runs backwards for a
    /// key.
    latest: u64,
    buckets: usize,
    words: Box<[u64]>,
    /// A buffer for the history of a new key.
    scratch: Box<[u64]>,
    /// The counts of evicted keys.
    sketch: Sketch,
    /// Keys that were evicted while they had counts.
    evicted: u64,
}

impl Wide {
    /// Creates a table for this many active keys with this many words each. `None` if there is not enough memory.
    pub(super) fn for_keys(
        keys: usize,
        meter: &AnyMeter,
        words: usize,
        largest: u32,
    ) -> Option<Self> {
        let buckets = keys.div_ceil(KEYS_PER_BUCKET).max(2);
        let shards = (buckets / FEWEST_BUCKETS).checked_ilog2().map_or(1, |power| 1 << power);
        let shards = shards.min(MOST_SHARDS);
        let each = buckets.div_ceil(shards).max(2);
        let shards = (0..shards).map(|_| Shard::new(each, words, largest).map(Mutex::new));
        Some(Self {
            shards: shards.collect::<Option<_>>()?,
            words,
            epoch: meter.epoch(),
            floor_reached: AtomicU64::new(0),
        })
    }

    /// Returns true if keys of this meter fit, and the sketch keeps their counts long enough.
    pub(super) fn holds(&self, meter: &AnyMeter) -> bool {
        meter.words() <= self.words && meter.epoch() <= self.epoch
    }

    pub(super) fn bytes(&self) -> usize {
        let bytes = |shard: &Mutex<Shard>| {
            let shard = held(shard);
            let words = (shard.words.len() + self.words) * size_of::<u64>();
            words + shard.sketch.bytes()
        };
        size_of_val(&*self.shards) + self.shards.iter().map(bytes).sum::<usize>()
    }

    pub(super) fn floor_reached(&self) -> u64 {
        self.floor_reached.load(Ordering::Relaxed)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.shards.iter().map(|shard| held(shard).evicted).sum()
    }

    /// Returns how many slots are taken. Reads the whole table.
    pub(super) fn taken(&self) -> usize {
        self.shards.iter().map(|shard| held(shard).taken()).sum()
    }

    /// Returns the words of all shards.
    #[cfg(test)]
    pub(super) fn contents(&self) -> Vec<Box<[u64]>> {
        self.shards.iter().map(|shard| held(shard).words.clone()).collect()
    }

    pub(super) fn charge(&self, meter: &impl Meter, key: u64, now: u64, cost: u32) -> Outcome {
        let (mut shard, now, late) = self.shard(key, now);
        later(shard.charge(meter, self, key, now, cost), late)
    }

    /// Charges a request to a key of a window counter if it fits. Otherwise changes nothing and returns `None`.
    #[inline]
    pub(super) fn try_charge(
        &self,
        window: &Window,
        key: u64,
        now: u64,
        cost: u32,
    ) -> Option<Standing> {
        let (mut shard, now, _) = self.shard(key, now);
        match shard.slot_of(self.words, key) {
            Some(slot) => {
                let words = &mut shard.words[slot..slot + self.words];
                window.charge_known(words, now, cost).map(Standing::from_window)
            }
            None => {
                let effect = Effect::TryCharge;
                shard.charge_newcomer(window, self, key, now, cost, effect).admitted()
            }
        }
    }

    pub(super) fn look(&self, meter: &impl Meter, key: u64, now: u64, cost: u32) -> Outcome {
        let (mut shard, now, late) = self.shard(key, now);
        let mut look = |cost| shard.look(meter, self, key, now, cost);
        later(look(cost).uncharged(|| look(0)), late)
    }

    pub(super) fn refund(
        &self,
        meter: &impl Meter,
        key: u64,
        now: u64,
        charged_at: u64,
        amount: u32,
    ) {
        let (mut shard, now, _) = self.shard(key, now);
        if let Some(slot) = shard.slot_of(self.words, key) {
            meter.refund(&mut shard.words[slot..slot + self.words], now, charged_at, amount);
        }
    }

    /// Empties the slot of a key.
    pub(super) fn reset(&self, key: u64) {
        let (mut shard, ..) = self.shard(key, 0);
        if let Some(slot) = shard.slot_of(self.words, key) {
            shard.words[slot..slot + self.words].fill(0);
        }
    }

    /// Returns the shard of a key, the time of the shard, and how far the clock is behind it.
    fn shard(&self, key: u64, now: u64) -> (MutexGuard<'_, Shard>, u64, u64) {
        // The upper bits choose the bucket within the shard, the lower ones the shard.
        let mut shard = held(&self.shards[key as usize & (self.shards.len() - 1)]);
        shard.latest = shard.latest.max(now);
        let latest = shard.latest;
        (shard, latest, latest - now)
    }
}

/// Adds the delay of a late clock to the wait.
fn later(outcome: Outcome, late: u64) -> Outcome {
    match outcome {
        Outcome::Refused { standing, wait: Some(wait) } => {
            Outcome::Refused { standing, wait: Some(wait.saturating_add(late)) }
        }
        outcome => outcome,
    }
}

/// Locks a shard. A panic cannot leave words half written, because they are written after the decision.
fn held(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn new(buckets: usize, words: usize, largest: u32) -> Option<Self> {
        let mut all = Vec::new();
        let count = buckets.checked_mul(bucket_words(words)?)?;
        all.try_reserve_exact(count).ok()?;
        all.resize(count, 0);
        let keys = buckets.checked_mul(KEYS_PER_BUCKET)?;
        Some(Self {
            latest: 0,
            buckets,
            words: all.into_boxed_slice(),
            scratch: vec![0; words].into_boxed_slice(),
            sketch: Sketch::for_keys(keys, largest)?,
            evicted: 0,
        })
    }

    fn taken(&self) -> usize {
        let buckets = self.words.chunks_exact(self.words.len() / self.buckets);
        let tags = buckets.flat_map(|bucket| &bucket[..SLOTS]);
        tags.filter(|tag| **tag != 0).count()
    }

    /// Returns the offsets of the two buckets of a key.
    fn buckets_of(&self, words: usize, key: u64) -> [usize; 2] {
        let (home, spare) = buckets_of(key, self.buckets);
        let length = (words + 1) * SLOTS;
        debug_assert_eq!(Some(length), bucket_words(words));
        [home * length, spare * length]
    }

    /// Returns the offset of a key's words. `None` if it has no slot.
    fn slot_of(&self, words: usize, key: u64) -> Option<usize> {
        self.buckets_of(words, key).into_iter().find_map(|bucket| {
            let tags = &self.words[bucket..bucket + SLOTS];
            let slot = tags.iter().position(|own| *own == tag(key))?;
            Some(bucket + SLOTS + slot * words)
        })
    }

    fn charge(
        &mut self,
        meter: &impl Meter,
        table: &Wide,
        key: u64,
        now: u64,
        cost: u32,
    ) -> Outcome {
        match self.slot_of(table.words, key) {
            Some(slot) => meter.charge(&mut self.words[slot..slot + table.words], now, cost),
            None => self.charge_newcomer(meter, table, key, now, cost, Effect::Charge),
        }
    }

    /// Decides on a copy of the words.
    fn look(&mut self, meter: &impl Meter, table: &Wide, key: u64, now: u64, cost: u32) -> Outcome {
        let Some(slot) = self.slot_of(table.words, key) else {
            return self.decide_new_key(meter, table, key, now, cost).outcome;
        };
        self.scratch.copy_from_slice(&self.words[slot..slot + table.words]);
        meter.charge(&mut self.scratch, now, cost)
    }

    /// Gives a new key a slot if its request is admitted.
    fn charge_newcomer(
        &mut self,
        meter: &impl Meter,
        table: &Wide,
        key: u64,
        now: u64,
        cost: u32,
        effect: Effect,
    ) -> Outcome {
        let NewKey { outcome, bucket, place, was_evicted } =
            self.decide_new_key(meter, table, key, now, cost);
        if cost == 0 {
            return outcome;
        }
        if matches!(outcome, Outcome::Refused { .. }) {
            if was_evicted && effect == Effect::Charge {
                table.floor_reached.fetch_add(1, Ordering::Relaxed);
            }
            return outcome;
        }
        let (tags, slots) = self.words[bucket..].split_at_mut(SLOTS);
        let slot = &mut slots[place.slot * table.words..][..table.words];
        if place.weight > 0 {
            let current = meter.used(slot, now);
            let used = Used { epoch: now / table.epoch, previous: 0, current };
            self.sketch.record(tags[place.slot], used);
            self.evicted += 1;
        }
        slot.copy_from_slice(&self.scratch);
        tags[place.slot] = tag(key);
        outcome
    }

    /// Decides about a new key. Leaves its history in `scratch`.
    fn decide_new_key(
        &mut self,
        meter: &impl Meter,
        table: &Wide,
        key: u64,
        now: u64,
        cost: u32,
    ) -> NewKey {
        let words = table.words;
        let [home, spare] = self.buckets_of(words, key);
        let vacancy = |bucket: usize| {
            let slots = &self.words[bucket + SLOTS..][..SLOTS * words];
            Vacancy::among(slots.chunks_exact(words).map(|slot| meter.weight(slot, now)))
        };
        let (at_home, at_spare) = (vacancy(home), vacancy(spare));
        let (bucket, place) =
            if at_spare.is_better_than(&at_home) { (spare, at_spare) } else { (home, at_home) };

        self.scratch.fill(0);
        let epoch = now / table.epoch;
        let used = self.sketch.used(tag(key), epoch, meter.most());
        if used.previous > 0 {
            let last = (epoch * table.epoch.get()).saturating_sub(1);
            meter.add(&mut self.scratch, last, used.previous);
        }
        if used.current > 0 {
            meter.add(&mut self.scratch, now, used.current);
        }
        let outcome = meter.charge(&mut self.scratch, now, cost);
        NewKey { outcome, bucket, place, was_evicted: !used.is_nothing() }
    }
}

/// The decision about a new key, and the slot that it would take.
struct NewKey {
    outcome: Outcome,
    bucket: usize,
    place: Vacancy,
    /// The key starts with what it, or another key, had used when it was evicted.
    was_evicted: bool,
}

/// Returns the number of words of a bucket with keys of this many words.
fn bucket_words(words: usize) -> Option<usize> {
    words.checked_mul(SLOTS)?.checked_add(SLOTS)
}

/// Returns the tag of a key: its hash, but never 0, which marks an empty slot.
fn tag(key: u64) -> u64 {
    key.max(1)
}

/// Returns how many bytes a key of this many words takes: its part of a bucket that is three quarters full, and of the sketch.
pub(super) fn bytes_a_key(words: usize) -> usize {
    let bucket = bucket_words(words).unwrap_or(usize::MAX).saturating_mul(size_of::<u64>());
    (bucket / KEYS_PER_BUCKET).saturating_add(16)
}
