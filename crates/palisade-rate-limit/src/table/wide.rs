//! As many words for each key as its algorithm needs, under one lock of many.
//!
//! The table is cut into shards, each with a lock and an equal part of the buckets; both buckets of a key are in one
//! shard. A decision holds the lock of its shard for as long as the arithmetic takes, never across an await.

use std::{
    num::NonZeroU64,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Vacancy, buckets_of,
    sketch::{Sketch, Used},
};
use crate::algorithm::{AnyMeter, Meter, Outcome};

const SLOTS: usize = 8;

/// Three quarters full, fewer than one key in ten thousand finds both of its buckets full.
const KEYS_PER_BUCKET: usize = 6;

/// Few enough that a shard evens out how many keys it gets, and enough that threads seldom meet.
const MOST_SHARDS: usize = 256;
const FEWEST_BUCKETS: usize = 256;

#[derive(Debug)]
pub(crate) struct Wide {
    shards: Box<[Mutex<Shard>]>,
    /// Of one key.
    words: usize,
    /// The length of an epoch of the sketches: what was charged in one no longer counts after the next.
    epoch: NonZeroU64,
    /// Requests that were refused because of what evicted keys had used.
    floor_reached: AtomicU64,
}

/// A bucket is a tag for each slot, and then the words of each slot.
#[derive(Debug)]
#[repr(align(64))]
struct Shard {
    /// The latest time at which anything was decided here. A clock that shows less is taken to show this: time never
    /// runs backwards for a key.
    latest: u64,
    buckets: usize,
    words: Box<[u64]>,
    /// Where the history of a newcomer is put together.
    scratch: Box<[u64]>,
    /// What evicted keys had used.
    sketch: Sketch,
    /// Keys that had to go while they still had counts.
    evicted: u64,
}

impl Wide {
    /// Returns a table for this many active keys, each of so many words. `None` if there is not that much memory.
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

    /// Returns true if keys of this meter have room, and what the sketch remembers of them lasts long enough.
    pub(super) fn holds(&self, meter: &AnyMeter) -> bool {
        meter.words() <= self.words && meter.epoch() <= self.epoch
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |shard: &Mutex<Shard>| {
            let shard = held(shard);
            let words = (shard.words.len() + self.words) * size_of::<u64>();
            words + shard.sketch.bytes()
        };
        size_of_val(&*self.shards) + self.shards.iter().map(of).sum::<usize>()
    }

    pub(super) fn floor_reached(&self) -> u64 {
        self.floor_reached.load(Ordering::Relaxed)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.shards.iter().map(|shard| held(shard).evicted).sum()
    }

    /// How many slots are taken. It reads all of the table, one shard after the other.
    pub(super) fn taken(&self) -> usize {
        self.shards.iter().map(|shard| held(shard).taken()).sum()
    }

    /// All that is remembered.
    #[cfg(test)]
    pub(super) fn contents(&self) -> Vec<Box<[u64]>> {
        self.shards.iter().map(|shard| held(shard).words.clone()).collect()
    }

    pub(super) fn charge(&self, meter: &impl Meter, key: u64, now: u64, cost: u32) -> Outcome {
        let (mut shard, now, late) = self.shard(key, now);
        later(shard.charge(meter, self, key, now, cost), late)
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

    /// The shard of a key, the time there, and by how much the clock is behind it.
    fn shard(&self, key: u64, now: u64) -> (MutexGuard<'_, Shard>, u64, u64) {
        // The upper bits choose the bucket within the shard, the lower ones the shard.
        let mut shard = held(&self.shards[key as usize & (self.shards.len() - 1)]);
        shard.latest = shard.latest.max(now);
        let latest = shard.latest;
        (shard, latest, latest - now)
    }
}

/// What is said to a clock that is late.
fn later(outcome: Outcome, late: u64) -> Outcome {
    match outcome {
        Outcome::Refused { standing, wait: Some(wait) } => {
            Outcome::Refused { standing, wait: Some(wait.saturating_add(late)) }
        }
        outcome => outcome,
    }
}

/// No decision panics half way: words are written once it is made.
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

    /// Where the two buckets of a key begin.
    fn buckets_of(&self, words: usize, key: u64) -> [usize; 2] {
        let (home, spare) = buckets_of(key, self.buckets);
        let length = self.words.len() / self.buckets;
        debug_assert_eq!(Some(length), bucket_words(words));
        [home * length, spare * length]
    }

    /// Where the words of a key begin, if it has a slot.
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
            None => self.charge_newcomer(meter, table, key, now, cost),
        }
    }

    /// Decides on a copy.
    fn look(&mut self, meter: &impl Meter, table: &Wide, key: u64, now: u64, cost: u32) -> Outcome {
        let Some(slot) = self.slot_of(table.words, key) else {
            return self.decide_newcomer(meter, table, key, now, cost).0;
        };
        self.scratch.copy_from_slice(&self.words[slot..slot + table.words]);
        meter.charge(&mut self.scratch, now, cost)
    }

    /// Gives a slot to a key that has none, if its request is admitted.
    fn charge_newcomer(
        &mut self,
        meter: &impl Meter,
        table: &Wide,
        key: u64,
        now: u64,
        cost: u32,
    ) -> Outcome {
        let (outcome, bucket, place) = self.decide_newcomer(meter, table, key, now, cost);
        if cost == 0 || matches!(outcome, Outcome::Refused { .. }) {
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

    /// Decides about a key that has no slot, and finds the one that it would get. Its history is left in the scratch.
    fn decide_newcomer(
        &mut self,
        meter: &impl Meter,
        table: &Wide,
        key: u64,
        now: u64,
        cost: u32,
    ) -> (Outcome, usize, Vacancy) {
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
        if cost > 0 && !used.is_nothing() && matches!(outcome, Outcome::Refused { .. }) {
            table.floor_reached.fetch_add(1, Ordering::Relaxed);
        }
        (outcome, bucket, place)
    }
}

/// How many words a bucket has, of keys that have so many each.
fn bucket_words(words: usize) -> Option<usize> {
    words.checked_mul(SLOTS)?.checked_add(SLOTS)
}

/// What tells the keys of a bucket apart: the whole hash. An empty slot has the tag 0, so no key has it.
fn tag(key: u64) -> u64 {
    key.max(1)
}

/// How many bytes a key of so many words takes: its part of a bucket that is three quarters full, and of the sketch.
pub(super) fn bytes_a_key(words: usize) -> usize {
    let bucket = bucket_words(words).unwrap_or(usize::MAX).saturating_mul(size_of::<u64>());
    (bucket / KEYS_PER_BUCKET).saturating_add(16)
}
