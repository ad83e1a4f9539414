//! The tables of keys: fixed memory, chosen when they are built.
//!
//! The hash of a key names two buckets, its home and its spare, and the key sits in a slot of one of the two. When both
//! are full, a newcomer takes the slot that weighs least, and *a bucket remembers the most that was ever driven out of
//! it*, as the floor on which newcomers start. That is what makes eviction safe. Starting newcomers at nothing would let
//! a client reset its own count by flooding the table with other keys. Starting them with the counts of whom they
//! replaced is better and not enough: a key that was driven out could come back into a slot that has become free
//! meanwhile, or whose counts have aged faster than its own. With the floor, a key either sits in the table, with no
//! less than what it was charged, or starts on a floor that is no lower than that. So:
//!
//! - no key is ever admitted what it would have been refused in a table without bounds, whoever floods it;
//! - the price of a table that is too small is that newcomers start with part of their quota used;
//! - a newcomer that is refused changes nothing, so keys at their limit cannot be driven out at all.
//!
//! The floor ages as counts do, so two windows after the flood it is gone. Counts can be compared and inherited only
//! because all keys of a table share the same windows, which begin at multiples of their length on the clock.
//!
//! There are two kinds of table with these rules: [narrow] packs a key of a window counter into one atomic word, and
//! needs no lock for a key that it knows; [wide] keeps whatever an algorithm needs, under one lock of many.

mod memory;
mod narrow;
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
                Narrow::for_keys(keys).map(Self::Narrow)
            }
            meter => Self::wide(keys, meter.words()),
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

    /// A table whose quotas may differ in their limits.
    pub(crate) fn wide(keys: usize, words: usize) -> Option<Self> {
        Wide::for_keys(keys, words).map(Self::Wide)
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
