//! The table of all keys: fixed memory, chosen when it is built.
//!
//! The table is an array of buckets with eight slots each. The hash of a key names two of them, its home and its
//! spare, and a 40-bit tag that finds it inside. A key sits in a slot of one of the two.
//!
//! When both are full, a newcomer takes the slot that weighs least, and *a bucket remembers the most that was ever
//! driven out of it*, as the floor on which newcomers start. That is what makes eviction safe. Starting newcomers at
//! nothing would let a client reset its own count by flooding the table with other keys. Starting them with the counts
//! of whom they replaced is better and not enough: a key that was driven out could come back into a slot that has
//! become free meanwhile, or whose counts have aged faster than its own. With the floor, a key either sits in the
//! table, with no less than what it was charged, or starts on a floor that is no lower than that. So:
//!
//! - no key is ever admitted what it would have been refused in a table without bounds, whoever floods it;
//! - the price of a table that is too small is that newcomers start with part of their quota used;
//! - a newcomer that is refused changes nothing, so keys at their limit cannot be driven out at all.
//!
//! The floor ages as counts do, so two windows after the flood it is gone. Counts can be compared and inherited only
//! because all keys share the same windows, which begin at multiples of their length on the clock.

#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

use palisade_core::ConfigError;

use crate::{
    Standing,
    window::{Counts, Moment, Window},
};

const SLOTS: usize = 8;

/// Three quarters full, fewer than one key in ten thousand finds both of its buckets full.
const KEYS_PER_BUCKET: usize = 6;

/// The bits of a hash that tell the keys of a bucket apart. A newcomer is taken for one of the sixteen keys that it may
/// meet once in 7 * 10^10 times; the two then share one quota.
type Tag = [u8; 5];

/// What the table says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Admitted(Standing),
    /// With the nanoseconds until it would be admitted, if it ever is.
    Refused(Option<u64>),
}

#[derive(Debug)]
pub(crate) struct Table {
    buckets: Box<[Bucket]>,
}

/// Three cache lines, of which a request reads the first and one other. A lock each: whatever is decided about a key
/// is decided and written in one step.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket(Mutex<Slots>);

/// In the order in which they fill the lines: the lock, tags and floor are the first.
#[derive(Debug, Default)]
#[repr(C)]
struct Slots {
    tags: [Tag; SLOTS],
    floor: Counts,
    counts: [Counts; SLOTS],
}

/// The slot of a bucket that a newcomer would take, what its key weighs, and how many slots are taken.
struct Vacancy {
    slot: usize,
    weight: u128,
    taken: usize,
}

/// Where a key may sit.
struct Place {
    home: usize,
    spare: usize,
    tag: Tag,
}

impl Table {
    /// A table for this many active keys, in 32 bytes for each.
    pub(crate) fn for_keys(keys: usize) -> Result<Self, ConfigError> {
        if keys == 0 {
            return Err(ConfigError::new(
                "capacity",
                keys,
                "choose how many clients are active within two windows, such as 100000",
            ));
        }
        let count = keys.div_ceil(KEYS_PER_BUCKET).max(2);
        let mut buckets = Vec::new();
        buckets.try_reserve_exact(count).map_err(|_| {
            ConfigError::new("capacity", keys, "choose one that fits in memory at 32 bytes a key")
        })?;
        buckets.resize_with(count, Bucket::default);
        Ok(Self { buckets: buckets.into_boxed_slice() })
    }

    /// What the table occupies, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// Checks a request of this cost and charges it, in one step. `key` is a hash whose every bit counts.
    pub(crate) fn charge(&self, window: &Window, key: u64, now: u64, cost: u32) -> Outcome {
        let now = window.moment(now);
        let Place { home, spare, tag } = self.place(key);
        {
            let mut home = self.lock(home);
            if let Some(slot) = home.slot_of(tag) {
                return home.charge(slot, window, now, cost);
            }
        }
        // Both locks, and a second look: another thread may have given the key a slot meanwhile.
        let (mut home, mut spare) = self.lock_both(home, spare);
        if let Some(slot) = home.slot_of(tag) {
            return home.charge(slot, window, now, cost);
        }
        if let Some(slot) = spare.slot_of(tag) {
            return spare.charge(slot, window, now, cost);
        }
        admit_newcomer(&mut home, &mut spare, tag, window, now, cost)
    }

    fn place(&self, key: u64) -> Place {
        let buckets = self.buckets.len();
        let home = scaled(key, buckets);
        // Another mixture of the same bits (the multiplier is 2^64 over the golden ratio), never the same bucket.
        let other = scaled(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), buckets - 1);
        let spare = (home + 1 + other) % buckets;
        let [a, b, c, d, e, ..] = key.to_le_bytes();
        // An empty slot has the tag 0, so no key has it.
        let tag = if [a, b, c, d, e] == Tag::default() { [1, 0, 0, 0, 0] } else { [a, b, c, d, e] };
        Place { home, spare, tag }
    }

    fn lock(&self, bucket: usize) -> MutexGuard<'_, Slots> {
        // Nothing panics while it holds a lock, and slots are written whole.
        self.buckets[bucket].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Two buckets, locked in the order of the array, so that two threads never wait for each other.
    fn lock_both(
        &self,
        home: usize,
        spare: usize,
    ) -> (MutexGuard<'_, Slots>, MutexGuard<'_, Slots>) {
        if home < spare {
            let home = self.lock(home);
            (home, self.lock(spare))
        } else {
            let spare = self.lock(spare);
            (self.lock(home), spare)
        }
    }
}

impl Slots {
    fn slot_of(&self, tag: Tag) -> Option<usize> {
        self.tags.iter().position(|own| *own == tag)
    }

    /// Charges the key of a slot.
    fn charge(&mut self, slot: usize, window: &Window, now: Moment, cost: u32) -> Outcome {
        let own = &mut self.counts[slot];
        let at = window.no_earlier_than(now, own.index);
        let counts = own.rolled_to(at.index);
        match window.charge(counts, at, cost) {
            Some(charged) => {
                *own = charged;
                Outcome::Admitted(window.standing(charged, at))
            }
            None => Outcome::Refused(window.wait(counts, at, cost)),
        }
    }

    /// The newest window in which anything was written here.
    fn newest(&self) -> u64 {
        self.counts.iter().fold(self.floor.index, |newest, counts| newest.max(counts.index))
    }

    /// The best place for a newcomer: the slot that weighs least. One whose key has been idle weighs nothing.
    fn vacancy(&self, window: &Window, at: Moment) -> Vacancy {
        let mut best = Vacancy { taken: 0, weight: u128::MAX, slot: 0 };
        for (slot, counts) in self.counts.iter().enumerate() {
            let weight = window.weight(counts.rolled_to(at.index), at);
            best.taken += usize::from(weight > 0);
            if weight < best.weight {
                (best.weight, best.slot) = (weight, slot);
            }
        }
        best
    }
}

impl Vacancy {
    /// Whether a newcomer does better here than at home. At home it is found sooner, so it goes elsewhere only when its
    /// home fills up: then to the emptier bucket, which is what keeps all of them from overflowing, and where both are
    /// full, to the lighter slot.
    fn is_better_than(&self, home: &Self) -> bool {
        let rank = |vacancy: &Self| (vacancy.taken.max(SLOTS / 2), vacancy.weight);
        rank(self) < rank(home)
    }
}

/// Gives a slot to a key that has none, if its request is admitted.
#[cold]
fn admit_newcomer(
    home: &mut Slots,
    spare: &mut Slots,
    tag: Tag,
    window: &Window,
    now: Moment,
    cost: u32,
) -> Outcome {
    let at = window.no_earlier_than(now, home.newest().max(spare.newest()));
    let floor = home.floor.rolled_to(at.index).at_least(spare.floor.rolled_to(at.index));

    let (at_home, at_spare) = (home.vacancy(window, at), spare.vacancy(window, at));
    let (slots, slot) = if at_spare.is_better_than(&at_home) {
        (spare, at_spare.slot)
    } else {
        (home, at_home.slot)
    };

    let leaving = slots.counts[slot].rolled_to(at.index);
    let inherited = floor.at_least(leaving);
    let Some(charged) = window.charge(inherited, at, cost) else {
        return Outcome::Refused(window.wait(inherited, at, cost));
    };
    if !leaving.is_idle() {
        slots.floor = slots.floor.rolled_to(at.index).at_least(leaving);
    }
    slots.tags[slot] = tag;
    slots.counts[slot] = charged;
    Outcome::Admitted(window.standing(charged, at))
}

/// Spreads hashes over `0..count` by their upper bits, without a division.
fn scaled(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}
