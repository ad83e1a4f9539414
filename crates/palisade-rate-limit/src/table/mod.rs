//! The tables of keys: fixed memory, chosen when they are built.
//!
//! The hash of a key names two buckets, its home and its spare, and the key sits in a slot of one of the two. When both
//! are full, a newcomer takes the slot that weighs least, and a [sketch] records what the evicted key had used. That is
//! what makes eviction safe. Starting newcomers at zero would let a client reset its own count by flooding the table with
//! other keys. Starting them with the counts of the key that they replace is not enough: a key that was evicted could
//! come back into a slot that has become free meanwhile. And one floor for each bucket, as high as the most that was ever
//! evicted, is safe but grows with every generation of newcomers: a flood of single requests soon rejected all of them.
//! With the sketch, a key either sits in the table with no less than what it was charged, or starts with no less than
//! what it had used when it was evicted. So:
//!
//! - no key is ever admitted what it would have been refused in a table without bounds, however it is flooded;
//! - the price of a table that is too small is that some newcomers start with part of their quota used, and after a flood
//!   of several times limit and capacity that some are rejected, which is logged and counted;
//! - a newcomer that is refused changes nothing, so keys at their limit cannot be evicted at all.
//!
//! What the sketch has recorded ages as counts do: two windows after the flood it is gone.
//!
//! There are two kinds of table with these rules: [narrow] packs a key of a window counter into one atomic word, and
//! needs no lock for a key that has a slot; [wide] stores as many words as an algorithm needs, under one lock of many.

mod memory;
mod narrow;
mod sketch;
mod wide;

#[cfg(test)]
mod tests;

use palisade_core::ConfigError;

use self::{narrow::Narrow, wide::Wide};
use crate::algorithm::{AnyMeter, Meter, Outcome};

/// The table of one quota.
#[derive(Debug)]
pub(crate) enum Table {
    Narrow(Narrow),
    Wide(Wide),
}

impl Table {
    /// A table for this many active keys.
    ///
    /// # Errors
    ///
    /// If the number is 0 or does not fit in memory.
    pub(crate) fn for_keys(keys: usize, meter: &AnyMeter) -> Result<Self, ConfigError> {
        Self::check_capacity(keys)?;
        let table = match meter {
            AnyMeter::Window(window) if narrow::holds(window) => {
                Narrow::for_keys(keys, window.limit()).map(Self::Narrow)
            }
            meter => Self::wide(keys, meter, meter.words(), meter.most()),
        };
        table.ok_or_else(|| ConfigError::new("capacity", keys, "choose one that fits in memory"))
    }

    /// # Errors
    ///
    /// If there is no room for any key.
    pub(crate) fn check_capacity(keys: usize) -> Result<(), ConfigError> {
        if keys == 0 {
            return Err(ConfigError::new(
                "capacity",
                keys,
                "choose how many clients are active within two windows, such as 100000",
            ));
        }
        Ok(())
    }

    /// Returns a table in which keys of this meter have so many words, and use up to `largest` of their limits.
    pub(crate) fn wide(keys: usize, meter: &AnyMeter, words: usize, largest: u32) -> Option<Self> {
        Wide::for_keys(keys, meter, words, largest).map(Self::Wide)
    }

    /// Returns true if keys of this meter can be counted here.
    pub(crate) fn holds(&self, meter: &AnyMeter) -> bool {
        match (self, meter) {
            (Self::Narrow(_), AnyMeter::Window(window)) => narrow::holds(window),
            (Self::Narrow(_), _) => false,
            (Self::Wide(table), meter) => table.holds(meter),
        }
    }

    /// Returns how many bytes a key of so many words takes in a table that is not narrow.
    pub(crate) fn bytes_a_key(words: usize) -> usize {
        wide::bytes_a_key(words)
    }

    /// What the table occupies, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Narrow(table) => table.bytes(),
            Self::Wide(table) => table.bytes(),
        }
    }

    /// How many keys had to go while they still had counts.
    pub(crate) fn evicted(&self) -> u64 {
        match self {
            Self::Narrow(table) => table.evicted(),
            Self::Wide(table) => table.evicted(),
        }
    }

    /// How many requests of keys without a slot were refused because of what evicted keys had used.
    pub(crate) fn floor_reached(&self) -> u64 {
        match self {
            Self::Narrow(table) => table.floor_reached(),
            Self::Wide(table) => table.floor_reached(),
        }
    }

    /// Forgets a key: it starts again with whole quotas.
    ///
    /// A key that was evicted may keep counts that it shares with others.
    pub(crate) fn reset(&self, key: u64) {
        match self {
            Self::Narrow(table) => table.reset(key),
            Self::Wide(table) => table.reset(key),
        }
    }

    /// How many keys have a slot, idle ones included.
    pub(crate) fn keys(&self) -> usize {
        match self {
            Self::Narrow(table) => table.taken(),
            Self::Wide(table) => table.taken(),
        }
    }

    /// Checks a request of this cost and charges it, in one step. `key` is a hash whose every bit counts, and the meter
    /// is of the kind that the table was made for.
    #[inline]
    pub(crate) fn charge(&self, meter: &AnyMeter, key: u64, now: u64, cost: u32) -> Outcome {
        match (self, meter) {
            (Self::Narrow(table), AnyMeter::Window(window)) => table.charge(window, key, now, cost),
            (Self::Wide(table), meter) => table.charge(meter, key, now, cost),
            (Self::Narrow(_), meter) => unreachable!("a narrow table was made for {meter:?}"),
        }
    }

    /// What [`charge`](Self::charge) would say. The standing is that of now.
    pub(crate) fn look(&self, meter: &AnyMeter, key: u64, now: u64, cost: u32) -> Outcome {
        match (self, meter) {
            (Self::Narrow(table), AnyMeter::Window(window)) => table.look(window, key, now, cost),
            (Self::Wide(table), meter) => table.look(meter, key, now, cost),
            (Self::Narrow(_), meter) => unreachable!("a narrow table was made for {meter:?}"),
        }
    }

    /// Takes back what was charged at `charged_at`.
    pub(crate) fn refund(
        &self,
        meter: &AnyMeter,
        key: u64,
        now: u64,
        charged_at: u64,
        amount: u32,
    ) {
        match (self, meter) {
            (Self::Narrow(table), AnyMeter::Window(window)) => {
                table.refund(window, key, charged_at, amount);
            }
            (Self::Wide(table), meter) => table.refund(meter, key, now, charged_at, amount),
            (Self::Narrow(_), meter) => unreachable!("a narrow table was made for {meter:?}"),
        }
    }
}

/// The two buckets that a key may sit in. They differ.
fn buckets_of(key: u64, buckets: usize) -> (usize, usize) {
    let home = scaled(key, buckets);
    // Another mixture of the same bits (the multiplier is 2^64 over the golden ratio).
    let other = scaled(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), buckets - 1);
    (home, (home + 1 + other) % buckets)
}

/// Spreads hashes over `0..count` by their upper bits, without a division.
fn scaled(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}

/// The slot of a bucket that a newcomer would take, what its key weighs, and how many slots are taken.
#[derive(Clone, Copy, Debug)]
struct Vacancy {
    slot: usize,
    weight: u128,
    taken: usize,
    of: usize,
}

impl Vacancy {
    /// The best place for a newcomer: the slot that weighs least. One whose key has been idle weighs nothing.
    fn among(weights: impl ExactSizeIterator<Item = u128>) -> Self {
        let mut best = Self { taken: 0, weight: u128::MAX, slot: 0, of: weights.len() };
        for (slot, weight) in weights.enumerate() {
            best.taken += usize::from(weight > 0);
            if weight < best.weight {
                (best.weight, best.slot) = (weight, slot);
            }
        }
        best
    }

    /// Whether a newcomer does better here than at home. At home it is found sooner, so it goes elsewhere only when its
    /// home fills up: then to the emptier bucket, which is what keeps all of them from overflowing, and where both are
    /// full, to the lighter slot.
    fn is_better_than(&self, home: &Self) -> bool {
        let rank = |vacancy: &Self| (vacancy.taken.max(vacancy.of / 2), vacancy.weight);
        rank(self) < rank(home)
    }
}
