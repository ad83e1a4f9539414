//! The tables of keys, in memory that is allocated when they are built.
//!
//! The hash of a key selects two buckets, its home and its spare, and the key has a slot in one of them. If both are full, a
//! new key takes the slot with the least weight, and a [sketch] records what the evicted key had used. That makes eviction
//! safe. If new keys started at zero, a client could reset its own count by flooding the table with other keys. Starting them
//! with the counts of the evicted key is not enough, because that key could return to another slot that is free. One floor for
//! each bucket, the maximum that was ever evicted, is safe but grows with every generation of keys: a flood of single requests
//! soon rejected all new keys. With the sketch, a key in the table has at least the count that it was charged, and a new key
//! starts with at least what it had used when it was evicted. So:
//!
//! - a flood never admits a request that a table without bounds would reject;
//! - if the table is too small, some new keys start with part of their quota used, and after a flood of several times
//!   limit × capacity some are rejected, which is logged and counted;
//! - a rejected new key changes nothing, so keys at their limit cannot be evicted.
//!
//! The records of the sketch age like counts: two windows after the flood they are gone.
//!
//! There are two tables with these rules: [narrow] packs a key of a window counter into one atomic word, and needs no lock for
//! a key that has a slot; [wide] stores as many words as an algorithm needs, under one of many locks.

mod memory;
mod narrow;
mod placement;
mod sketch;
mod wide;

#[cfg(test)]
mod tests;

use palisade_core::ConfigError;

use self::{narrow::Narrow, wide::Wide};
use crate::{
    Standing,
    algorithm::{AnyMeter, Meter, Outcome, window::Window},
};

/// What a decision may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Nothing.
    Look,
    /// The counts, if the request fits. A rejection is not counted, because the exact clock may admit the request.
    TryCharge,
    /// The counts. A rejection is counted.
    Charge,
}

impl Effect {
    fn charges(self) -> bool {
        self != Self::Look
    }
}

/// The table of one quota.
#[derive(Debug)]
pub(crate) enum Table {
    Narrow(Narrow),
    Wide(Wide),
}

impl Table {
    /// Creates a table for this many active keys.
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
    /// If the capacity is 0.
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

    /// Creates a wide table in which keys have this many words and counts up to `largest`. `None` if there is not enough memory.
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

    /// Returns how many bytes a key of this many words takes in a wide table.
    pub(crate) fn bytes_a_key(words: usize) -> usize {
        wide::bytes_a_key(words)
    }

    /// Returns the size of the table in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Narrow(table) => table.bytes(),
            Self::Wide(table) => table.bytes(),
        }
    }

    /// Returns how many keys were evicted while they had counts.
    pub(crate) fn evicted(&self) -> u64 {
        match self {
            Self::Narrow(table) => table.evicted(),
            Self::Wide(table) => table.evicted(),
        }
    }

    /// Returns how many requests of new keys were rejected because of the counts of evicted keys.
    pub(crate) fn floor_reached(&self) -> u64 {
        match self {
            Self::Narrow(table) => table.floor_reached(),
            Self::Wide(table) => table.floor_reached(),
        }
    }

    /// Resets the counts of a key. The sketch is not changed, because its cells are shared between keys.
    pub(crate) fn reset(&self, key: u64) {
        match self {
            Self::Narrow(table) => table.reset(key),
            Self::Wide(table) => table.reset(key),
        }
    }

    /// Returns how many keys have a slot, including idle ones.
    pub(crate) fn keys(&self) -> usize {
        match self {
            Self::Narrow(table) => table.taken(),
            Self::Wide(table) => table.taken(),
        }
    }

    /// Charges a request to a key of a window counter if it fits. Otherwise changes nothing and returns `None`: then
    /// [`charge`](Self::charge) decides. The cost must not be 0.
    #[inline(always)]
    pub(crate) fn try_charge(
        &self,
        window: &Window,
        key: u64,
        now: u64,
        cost: u32,
    ) -> Option<Standing> {
        match self {
            Self::Narrow(table) => table.try_charge(window, key, now, cost),
            Self::Wide(table) => table.try_charge(window, key, now, cost),
        }
    }

    /// Checks and charges a request of this cost in one step. All bits of the hash `key` are used. The meter must be of the kind
    /// that the table was created for.
    #[inline]
    pub(crate) fn charge(&self, meter: &AnyMeter, key: u64, now: u64, cost: u32) -> Outcome {
        match (self, meter) {
            (Self::Narrow(table), AnyMeter::Window(window)) => table.charge(window, key, now, cost),
            (Self::Wide(table), meter) => table.charge(meter, key, now, cost),
            (Self::Narrow(_), meter) => unreachable!("a narrow table was created for {meter:?}"),
        }
    }

    /// Returns the outcome of [`charge`](Self::charge) with the current standing, and charges nothing.
    pub(crate) fn look(&self, meter: &AnyMeter, key: u64, now: u64, cost: u32) -> Outcome {
        match (self, meter) {
            (Self::Narrow(table), AnyMeter::Window(window)) => table.look(window, key, now, cost),
            (Self::Wide(table), meter) => table.look(meter, key, now, cost),
            (Self::Narrow(_), meter) => unreachable!("a narrow table was created for {meter:?}"),
        }
    }

    /// Returns a charge of the time `charged_at`.
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
            (Self::Narrow(_), meter) => unreachable!("a narrow table was created for {meter:?}"),
        }
    }
}
