//! The time of each request: exact, for small limits.

use std::num::NonZeroU64;

use palisade_core::ConfigError;

use super::{meter::Meter, outcome::Outcome};
use crate::Standing;

/// The largest limit. A key takes 8 bytes for each request of its limit.
const LARGEST: u32 = 1000;

/// The words are the times of the newest requests plus one, the newest first. 0 is an empty word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExactLog {
    limit: u32,
    length: NonZeroU64,
}

impl ExactLog {
    /// # Errors
    ///
    /// If the limit exceeds 1000.
    pub(crate) fn new(limit: u32, length: NonZeroU64) -> Result<Self, ConfigError> {
        if limit > LARGEST {
            let remedy =
                "an exact log takes 8 bytes for each request: choose at most 1000, or strict()";
            return Err(ConfigError::new("limit", limit, remedy));
        }
        Ok(Self { limit, length })
    }

    /// Returns the time from which the request of a word no longer counts.
    fn leaves(&self, word: u64) -> u64 {
        word.saturating_sub(1).saturating_add(self.length.get())
    }

    /// Returns how many of the requests still count.
    fn live(&self, words: &[u64], now: u64) -> usize {
        words.partition_point(|word| *word > 0 && self.leaves(*word) > now)
    }

    fn wait(&self, words: &[u64], now: u64, cost: u32) -> Option<u64> {
        let room = self.limit.checked_sub(cost)? as usize;
        if self.live(words, now) <= room {
            return Some(0);
        }
        Some(self.leaves(words[room]).saturating_sub(now))
    }

    fn standing(&self, words: &[u64], now: u64) -> Standing {
        // A key has at most as many words as the limit, which fits into 32 bits.
        let remaining = self.limit.saturating_sub(self.live(words, now) as u32);
        let more_in = remaining.checked_add(1).and_then(|more| self.wait(words, now, more));
        Standing::new(remaining, more_in)
    }
}

impl Meter for ExactLog {
    fn words(&self) -> usize {
        (self.limit as usize).max(1)
    }

    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome {
        match self.wait(words, now, cost) {
            Some(0) => {
                let (cost, kept) = (cost as usize, words.len() - cost as usize);
                words.copy_within(..kept, cost);
                words[..cost].fill(now.saturating_add(1));
                Outcome::Admitted { standing: self.standing(words, now), at: now }
            }
            wait => Outcome::Refused { standing: self.standing(words, now), wait },
        }
    }

    fn refund(&self, words: &mut [u64], _: u64, charged_at: u64, amount: u32) {
        let charged = charged_at.saturating_add(1);
        let first = words.partition_point(|word| *word > charged);
        let same = words[first..].iter().take_while(|word| **word == charged).count();
        let back = same.min(amount as usize);
        words.copy_within(first + back.., first);
        let len = words.len();
        words[len - back..].fill(0);
    }

    fn weight(&self, words: &[u64], now: u64) -> u128 {
        self.live(words, now) as u128
    }

    fn used(&self, words: &[u64], now: u64) -> u32 {
        self.live(words, now) as u32
    }

    fn add(&self, words: &mut [u64], at: u64, amount: u32) {
        let amount = words.len().min(amount as usize);
        words.copy_within(..words.len() - amount, amount);
        words[..amount].fill(at.saturating_add(1));
    }

    fn most(&self) -> u32 {
        self.limit
    }

    fn epoch(&self) -> NonZeroU64 {
        self.length
    }
}
