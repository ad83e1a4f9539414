//! Which bucket and slot a key gets.

/// Returns the two different buckets of a key.
pub(super) fn buckets_of(key: u64, buckets: usize) -> (usize, usize) {
    let home = scaled(key, buckets);
    // The multiplier is 2^64 divided by the golden ratio.
    let other = scaled(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), buckets - 1);
    // The sum is less than twice the number of buckets. A division takes longer than all the rest.
    let spare = home + 1 + other;
    (home, if spare < buckets { spare } else { spare - buckets })
}

/// Maps a hash to `0..count` by its upper bits, without a division.
pub(super) fn scaled(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}

/// The slot of a bucket that a new key would take, the weight of its key, and how many slots are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacancy {
    pub(super) slot: usize,
    pub(super) weight: u128,
    pub(super) taken: usize,
    of: usize,
}

impl Vacancy {
    /// Returns the slot with the least weight. An idle key has no weight.
    pub(super) fn among(weights: impl ExactSizeIterator<Item = u128>) -> Self {
        let mut best = Self { taken: 0, weight: u128::MAX, slot: 0, of: weights.len() };
        for (slot, weight) in weights.enumerate() {
            best.taken += usize::from(weight > 0);
            if weight < best.weight {
                (best.weight, best.slot) = (weight, slot);
            }
        }
        best
    }

    /// Returns true if a new key should take this slot instead of one at home. Lookups begin at home, so the spare is used only
    /// if the home fills up: then the emptier bucket, which balances them, and if both are full, the lighter slot.
    pub(super) fn is_better_than(&self, home: &Self) -> bool {
        let rank = |vacancy: &Self| (vacancy.taken.max(vacancy.of / 2), vacancy.weight);
        rank(self) < rank(home)
    }
}
