//! As many words for each key as its algorithm needs, under one lock of many.
//!
//! The table is cut into shards, each with a lock and an equal part of the buckets; both buckets of a key are in one
//! shard. A decision holds the lock of its shard for as long as the arithmetic takes, never across an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Vacancy, buckets_of};
use crate::algorithm::{Meter, Outcome, PINNED};

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
}

/// A bucket is its floor, a tag for each slot, and then the words of each slot.
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
    /// Keys that had to go while they still had counts.
    evicted: u64,
}

impl Wide {
    /// A table for this many active keys, each of so many words; nothing if there is not that much memory.
    pub(super) fn for_keys(keys: usize, words: usize) -> Option<Self> {
        let buckets = keys.div_ceil(KEYS_PER_BUCKET).max(2);
        let shards = (buckets / FEWEST_BUCKETS).checked_ilog2().map_or(1, |power| 1 << power);
        let shards = shards.min(MOST_SHARDS);
        let each = buckets.div_ceil(shards).max(2);
        let shards = (0..shards).map(|_| Shard::new(each, words).map(Mutex::new));
        Some(Self { shards: shards.collect::<Option<_>>()?, words })
    }

    pub(super) fn bytes(&self) -> usize {
        let words: usize =
            self.shards.iter().map(|shard| held(shard).words.len() + self.words).sum();
        size_of_val(&*self.shards) + words * size_of::<u64>()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.shards.iter().map(|shard| held(shard).evicted).sum()
    }

    /// How many slots are taken. It reads all of the table, one shard after the other.
    pub(super) fn taken(&self) -> usize {
        self.shards.iter().map(|shard| held(shard).taken(self.words)).sum()
    }

    /// All that is remembered.
    #[cfg(test)]
    pub(super) fn contents(&self) -> Vec<Box<[u64]>> {
        self.shards.iter().map(|shard| held(shard).words.clone()).collect()
    }

    pub(super) fn charge(&self, meter: &impl Meter, key: u64, now: u64, cost: u32) -> Outcome {
        let (mut shard, now, late) = self.shard(key, now);
        later(shard.charge(meter, self.words, key, now, cost), late)
    }

    pub(super) fn look(&self, meter: &impl Meter, key: u64, now: u64, cost: u32) -> Outcome {
        let (mut shard, now, late) = self.shard(key, now);
        let mut look = |cost| shard.look(meter, self.words, key, now, cost);
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
    fn new(buckets: usize, words: usize) -> Option<Self> {
        let mut all = Vec::new();
        let count = buckets.checked_mul(bucket_words(words)?)?;
        all.try_reserve_exact(count).ok()?;
        all.resize(count, 0);
        Some(Self {
            latest: 0,
            buckets,
            words: all.into_boxed_slice(),
            scratch: vec![0; words].into_boxed_slice(),
            evicted: 0,
        })
    }

    fn taken(&self, words: usize) -> usize {
        let buckets = self.words.chunks_exact(self.words.len() / self.buckets);
        let tags = buckets.flat_map(|bucket| &bucket[words..words + SLOTS]);
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
            let tags = bucket + words;
            let slot = self.words[tags..tags + SLOTS].iter().position(|own| *own == tag(key))?;
            Some(tags + SLOTS + slot * words)
        })
    }

    fn charge(
        &mut self,
        meter: &impl Meter,
        words: usize,
        key: u64,
        now: u64,
        cost: u32,
    ) -> Outcome {
        match self.slot_of(words, key) {
            Some(slot) => meter.charge(&mut self.words[slot..slot + words], now, cost),
            None => self.charge_newcomer(meter, words, key, now, cost),
        }
    }

    /// Decides on a copy.
    fn look(&mut self, meter: &impl Meter, words: usize, key: u64, now: u64, cost: u32) -> Outcome {
        let Some(slot) = self.slot_of(words, key) else {
            return self.decide_newcomer(meter, words, key, now, cost).0;
        };
        self.scratch.copy_from_slice(&self.words[slot..slot + words]);
        meter.charge(&mut self.scratch, now, cost)
    }

    /// Gives a slot to a key that has none, if its request is admitted.
    fn charge_newcomer(
        &mut self,
        meter: &impl Meter,
        words: usize,
        key: u64,
        now: u64,
        cost: u32,
    ) -> Outcome {
        let (outcome, bucket, place) = self.decide_newcomer(meter, words, key, now, cost);
        if cost == 0 || matches!(outcome, Outcome::Refused { .. }) {
            return outcome;
        }
        let (floor, rest) = self.words[bucket..].split_at_mut(words);
        let (tags, slots) = rest.split_at_mut(SLOTS);
        let slot = &mut slots[place.slot * words..][..words];
        if place.weight > 0 {
            meter.raise(floor, slot, now);
            self.evicted += 1;
        }
        slot.copy_from_slice(&self.scratch);
        tags[place.slot] = tag(key);
        outcome
    }

    /// What becomes of a key that has no slot, and where it would get one. Its history is left in the scratch.
    fn decide_newcomer(
        &mut self,
        meter: &impl Meter,
        words: usize,
        key: u64,
        now: u64,
        cost: u32,
    ) -> (Outcome, usize, Vacancy) {
        let [home, spare] = self.buckets_of(words, key);
        let slot_at = |bucket: usize, slot: usize| bucket + words + SLOTS + slot * words;
        let vacancy = |bucket: usize| {
            Vacancy::among((0..SLOTS).map(|slot| {
                let slot = slot_at(bucket, slot);
                meter.weight(&self.words[slot..slot + words], now)
            }))
        };
        let (at_home, at_spare) = (vacancy(home), vacancy(spare));
        let (bucket, place) =
            if at_spare.is_better_than(&at_home) { (spare, at_spare) } else { (home, at_home) };
        let slot = slot_at(bucket, place.slot);

        self.scratch.fill(0);
        for inherited in [home, spare, slot] {
            meter.raise(&mut self.scratch, &self.words[inherited..inherited + words], now);
        }
        let outcome = if place.weight == PINNED {
            // Nobody may be driven out. A cost over the limit is refused, and leaves nothing behind.
            self.scratch.fill(0);
            let standing = meter.charge(&mut self.scratch, now, 0);
            let (Outcome::Admitted { standing, .. } | Outcome::Refused { standing, .. }) = standing;
            Outcome::Refused { standing, wait: None }
        } else {
            meter.charge(&mut self.scratch, now, cost)
        };
        (outcome, bucket, place)
    }
}

/// How many words a bucket has, of keys that have so many each.
fn bucket_words(words: usize) -> Option<usize> {
    words.checked_mul(SLOTS + 1)?.checked_add(SLOTS)
}

/// What tells the keys of a bucket apart: the whole hash. An empty slot has the tag 0, so no key has it.
fn tag(key: u64) -> u64 {
    key.max(1)
}
