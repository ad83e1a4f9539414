//! Requests that are being answered. No time is involved: a slot is free again when its request gives it back.

use std::num::NonZeroU64;

use super::{Meter, Outcome, PINNED};
use crate::Standing;

/// The one word is how many slots are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Concurrency {
    limit: u32,
}

impl Concurrency {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit }
    }

    fn standing(&self, taken: u64) -> Standing {
        // nobody knows when a request will have been answered
        Standing::new(u64::from(self.limit).saturating_sub(taken) as u32, None)
    }
}

impl Meter for Concurrency {
    fn words(&self) -> usize {
        1
    }

    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome {
        let taken = words[0].saturating_add(cost.into());
        if taken > self.limit.into() {
            return Outcome::Refused { standing: self.standing(words[0]), wait: None };
        }
        words[0] = taken;
        Outcome::Admitted { standing: self.standing(taken), at: now }
    }

    fn refund(&self, words: &mut [u64], _: u64, _: u64, amount: u32) {
        words[0] = words[0].saturating_sub(amount.into());
    }

    fn weight(&self, words: &[u64], _: u64) -> u128 {
        // A key that is forgotten while its requests are answered would get its slots twice.
        if words[0] == 0 { 0 } else { PINNED }
    }

    fn used(&self, words: &[u64], _: u64) -> u32 {
        words[0].try_into().unwrap_or(u32::MAX)
    }

    fn add(&self, words: &mut [u64], _: u64, amount: u32) {
        words[0] = words[0].saturating_add(amount.into());
    }

    fn most(&self) -> u32 {
        self.limit
    }

    /// No key that has slots is evicted, so there are no histories to keep.
    fn epoch(&self) -> NonZeroU64 {
        NonZeroU64::MAX
    }
}
