//! The counts of evicted keys in fixed memory: a count-min sketch with conservative updates.
//!
//! A key has a few cells, and its count is their minimum. Recording a count raises only the cells that are lower. So a key
//! never reads less than its recorded count, and reads more only if it shares all of its cells with keys of higher counts. The
//! counts of a flood are spread evenly over all cells, while a single floor for each bucket would add them up:
//! `tests/accuracy.rs` measures how many new keys it takes until some are rejected.
//!
//! Time is divided into epochs. A block has counts of the current and of the previous epoch. The counts of the previous epoch
//! take a fourteenth of the memory: the maximum of each lane. They lose weight with time, so a coarser count is enough.
//!
//! ```text
//! block:  epoch 64 | previous 64 | 14 words of cells, as many to a word as fit
//! ```

use super::placement::scaled;

/// Words of a block: two cache lines.
const BLOCK: usize = 16;
/// The words of a block that count the current epoch: the last ones.
const CURRENT: usize = 14;
const EPOCH: usize = BLOCK - CURRENT - 2;
const PREVIOUS: usize = EPOCH + 1;

/// 16 bytes of sketch for each key of the table.
const KEYS_PER_BLOCK: usize = BLOCK * 8 / 16;

/// The widest cell, which counts what the largest table counts.
const MOST_BITS: u32 = 16;

#[derive(Debug)]
pub(super) struct Sketch {
    blocks: Box<[[u64; BLOCK]]>,
    /// The bits of a cell.
    bits: u32,
    /// The cells of a word.
    lanes: u32,
    /// The cells of a key.
    choices: u32,
}

/// How much a key had used when it was last evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// The epoch of the counts: the requested one, or a newer one.
    pub(super) epoch: u64,
    pub(super) previous: u32,
    pub(super) current: u32,
}

impl Used {
    pub(super) fn is_nothing(self) -> bool {
        self.previous == 0 && self.current == 0
    }
}

impl Sketch {
    /// Creates a sketch for a table of this many keys and counts up to `largest`. `None` if there is not enough memory.
    pub(super) fn for_keys(keys: usize, largest: u32) -> Option<Self> {
        let bits = (u32::BITS - largest.leading_zeros()).clamp(1, MOST_BITS);
        // Found by simulation: more cells distinguish keys better, but fill the sketch sooner.
        let choices = match bits {
            1 => 6,
            2..=5 => 3,
            6..=8 => 2,
            _ => 1,
        };
        let count = keys.div_ceil(KEYS_PER_BLOCK).max(1);
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).ok()?;
        blocks.resize(count, [0; BLOCK]);
        Some(Self { blocks: blocks.into_boxed_slice(), bits, lanes: 64 / bits, choices })
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.blocks)
    }

    /// Returns the count of a key. A saturated cell counts as `full`.
    pub(super) fn used(&self, id: u64, epoch: u64, full: u32) -> Used {
        let (at, random) = self.block_of(id);
        let block = rolled(&self.blocks[at], epoch, self.bits);
        let (mut previous, mut current) = (u32::MAX, u32::MAX);
        for (word, lane) in self.cells_of(random) {
            previous = previous.min(self.cell(block[PREVIOUS], lane));
            current = current.min(self.cell(block[word], lane));
        }
        let read = |count| if count == self.top() { full.max(count) } else { count };
        Used { epoch: block[EPOCH], previous: read(previous), current: read(current) }
    }

    /// Raises the counts of a key to at least these.
    pub(super) fn record(&mut self, id: u64, used: Used) {
        let (at, random) = self.block_of(id);
        let mut block = rolled(&self.blocks[at], used.epoch, self.bits);
        let (previous, current) = match block[EPOCH] - used.epoch {
            0 => (used.previous, used.current),
            // Another thread is an epoch ahead.
            1 => (used.current, 0),
            _ => return,
        };
        for (word, lane) in self.cells_of(random) {
            for (word, count) in [(PREVIOUS, previous), (word, current)] {
                let count = count.min(self.top());
                if self.cell(block[word], lane) < count {
                    let shift = lane * self.bits;
                    let others = block[word] & !(u64::from(self.top()) << shift);
                    block[word] = others | u64::from(count) << shift;
                }
            }
        }
        self.blocks[at] = block;
    }

    /// The largest count of a cell.
    fn top(&self) -> u32 {
        (1 << self.bits) - 1
    }

    fn cell(&self, word: u64, lane: u32) -> u32 {
        (word >> (lane * self.bits)) as u32 & self.top()
    }

    /// Returns the block of a key, and random bits that choose its cells.
    fn block_of(&self, id: u64) -> (usize, u64) {
        let random = mixed(id);
        (scaled(random, self.blocks.len()), mixed(random))
    }

    /// Returns the word and the lane of each cell of a key.
    fn cells_of(&self, random: u64) -> impl Iterator<Item = (usize, u32)> + use<> {
        let (lanes, mut random) = (self.lanes, random);
        (0..self.choices).map(move |_| {
            let cell = scaled(random, CURRENT * lanes as usize);
            random = mixed(random);
            (BLOCK - CURRENT + cell / lanes as usize, (cell % lanes as usize) as u32)
        })
    }
}

/// Returns the block as seen from this epoch. A block of a newer epoch is returned unchanged.
fn rolled(block: &[u64; BLOCK], epoch: u64, bits: u32) -> [u64; BLOCK] {
    let mut rolled = *block;
    let Some(passed @ 1..) = epoch.checked_sub(block[EPOCH]) else { return rolled };
    rolled = [0; BLOCK];
    rolled[EPOCH] = epoch;
    if passed == 1 {
        let words = &block[BLOCK - CURRENT..];
        rolled[PREVIOUS] = words.iter().fold(0, |most, word| greatest(most, *word, bits));
    }
    rolled
}

/// Returns the maximum of two words in each lane.
fn greatest(one: u64, other: u64, bits: u32) -> u64 {
    if one == 0 || other == 0 {
        return one | other;
    }
    let lane = u64::MAX >> (64 - bits);
    let lanes = (0..64 / bits).map(|at| lane << (at * bits));
    lanes.fold(0, |word, lane| word | (one & lane).max(other & lane))
}

/// Mixes the bits with SplitMix64, because not all bits of the narrow table's ids are random.
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn sketch(keys: usize, largest: u32) -> Sketch {
        Sketch::for_keys(keys, largest).unwrap()
    }

    fn at(epoch: u64, previous: u32, current: u32) -> Used {
        Used { epoch, previous, current }
    }

    #[test]
    fn counts_last_for_two_epochs() {
        let mut sketch = sketch(100, 10);
        sketch.record(7, at(5, 2, 3));
        assert_eq!(sketch.used(7, 5, 10), at(5, 2, 3));
        assert_eq!(sketch.used(7, 6, 10), at(6, 3, 0));
        assert_eq!(sketch.used(7, 7, 10), at(7, 0, 0));
        sketch.record(7, at(6, 1, 4));
        assert_eq!(sketch.used(7, 5, 10), at(6, 3, 4), "an older clock reads the newest counts");
        sketch.record(7, at(5, 9, 8));
        assert_eq!(sketch.used(7, 6, 10), at(6, 8, 4));
        sketch.record(7, at(4, 9, 9));
        assert_eq!(sketch.used(7, 6, 10), at(6, 8, 4));
    }

    #[test]
    fn saturated_cell_counts_as_full() {
        let mut sketch = sketch(100, 10);
        for (recorded, read) in [(14, 14), (15, 40), (500, 40)] {
            sketch.record(1, at(5, 0, recorded));
            assert_eq!(sketch.used(1, 5, 40).current, read);
        }
    }

    #[test]
    fn sketch_takes_sixteen_bytes_per_key() {
        assert_eq!(sketch(100_000, 5).bytes(), 1_600_000);
        assert_eq!(sketch(1, 5).bytes(), 128);
        assert!(Sketch::for_keys(usize::MAX, 5).is_none());
    }

    proptest! {
        #[test]
        fn key_never_reads_less_than_was_recorded(
            largest in 1u32..70_000,
            records in prop::collection::vec((0u64..40, 0u64..3, 0u32..70_000, 0u32..70_000), 1..200),
        ) {
            let mut sketch = sketch(8, largest);
            let mut exact = HashMap::<u64, Used>::new();
            let mut epoch = 0;
            for (id, passed, previous, current) in records {
                epoch += passed;
                let used = at(epoch, previous % (largest + 1), current % (largest + 1));
                sketch.record(id, used);
                exact.insert(id, used);
                for (id, used) in &exact {
                    let read = sketch.used(*id, epoch, largest);
                    let (previous, current) = match epoch - used.epoch {
                        0 => (used.previous, used.current),
                        1 => (used.current, 0),
                        _ => (0, 0),
                    };
                    prop_assert!(read.previous >= previous.min(65_535));
                    prop_assert!(read.current >= current.min(65_535));
                }
            }
        }
    }
}
