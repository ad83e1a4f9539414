//! Sub-windows, the oldest of which is counted in full: at most the limit in any period of the window's length.
//!
//! The window is divided into eight parts. Any period of the window's length overlaps at most nine consecutive parts, and the
//! requests of all nine are counted. The price is that a request counts for up to an eighth longer than the window.

use std::num::NonZeroU64;

use palisade_core::ConfigError;

use super::{meter::Meter, outcome::Outcome};
use crate::Standing;

const PARTS: u64 = 8;

const TWO: NonZeroU64 = NonZeroU64::new(2).unwrap();

/// The sub-windows that are counted: eight, and the one that the period only partly covers.
const COUNTED: usize = PARTS as usize + 1;

/// The number of the newest sub-window, and two counts in each further word, the newest first.
const WORDS: usize = 1 + COUNTED.div_ceil(2);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Strict {
    limit: u32,
    length: NonZeroU64,
}

/// The counts of the sub-window `newest` and of the eight before it.
struct Counts {
    newest: u64,
    counts: [u32; COUNTED],
}

impl Counts {
    fn read(words: &[u64]) -> Self {
        let count = |at: usize| (words[1 + at / 2] >> (32 * (at % 2))) as u32;
        Self { newest: words[0], counts: std::array::from_fn(count) }
    }

    fn write(&self, words: &mut [u64]) {
        words[0] = self.newest;
        for (word, pair) in words[1..].iter_mut().zip(self.counts.chunks(2)) {
            *word = u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32;
        }
    }

    /// Returns the history as seen from the sub-window `part`.
    fn rolled_to(mut self, part: u64) -> Self {
        let passed = usize::try_from(part.saturating_sub(self.newest)).unwrap_or(COUNTED);
        let kept = COUNTED - passed.min(COUNTED);
        self.counts.copy_within(..kept, COUNTED - kept);
        self.counts[..COUNTED - kept].fill(0);
        self.newest = self.newest.max(part);
        self
    }

    /// Returns the requests of all sub-windows except the `oldest` ones.
    fn sum_without(&self, oldest: usize) -> u64 {
        self.counts[..COUNTED - oldest].iter().map(|count| u64::from(*count)).sum()
    }
}

impl Strict {
    /// # Errors
    ///
    /// If the window is shorter than 8 ns.
    pub(crate) fn new(limit: u32, length: NonZeroU64) -> Result<Self, ConfigError> {
        if length.get() < PARTS {
            let remedy = "choose a window of at least 8 nanoseconds, which has eight parts";
            return Err(ConfigError::new("window", format_args!("{length}ns"), remedy));
        }
        Ok(Self { limit, length })
    }

    /// Returns the number of the sub-window that contains this time.
    fn part(&self, now: u64) -> u64 {
        let part = u128::from(now) * u128::from(PARTS) / u128::from(self.length.get());
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// Returns the beginning of a sub-window.
    fn beginning(&self, part: u64) -> u64 {
        let begins = u128::from(part) * u128::from(self.length.get());
        u64::try_from(begins.div_ceil(u128::from(PARTS))).unwrap_or(u64::MAX)
    }

    fn wait(&self, counts: &Counts, now: u64, cost: u32) -> Option<u64> {
        let room = u64::from(self.limit.checked_sub(cost)?);
        // The number of oldest sub-windows that have to expire. Without any, each cost up to the limit fits.
        let leaving = (0..=COUNTED).find(|leaving| counts.sum_without(*leaving) <= room)?;
        if leaving == 0 {
            return Some(0);
        }
        Some(self.beginning(counts.newest + leaving as u64).saturating_sub(now))
    }

    fn standing(&self, counts: &Counts, now: u64) -> Standing {
        let used = counts.sum_without(0);
        let remaining = u64::from(self.limit).saturating_sub(used) as u32;
        let more_in = remaining.checked_add(1).and_then(|more| self.wait(counts, now, more));
        Standing::new(remaining, more_in)
    }
}

impl Meter for Strict {
    fn words(&self) -> usize {
        WORDS
    }

    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome {
        let mut counts = Counts::read(words).rolled_to(self.part(now));
        match self.wait(&counts, now, cost) {
            Some(0) => {
                // Admitted requests are within the limit, so the count cannot overflow.
                counts.counts[0] += cost;
                counts.write(words);
                Outcome::Admitted { standing: self.standing(&counts, now), at: now }
            }
            wait => Outcome::Refused { standing: self.standing(&counts, now), wait },
        }
    }

    fn refund(&self, words: &mut [u64], now: u64, charged_at: u64, amount: u32) {
        let mut counts = Counts::read(words).rolled_to(self.part(now));
        let ago = counts.newest.saturating_sub(self.part(charged_at));
        if let Some(count) = usize::try_from(ago).ok().and_then(|ago| counts.counts.get_mut(ago)) {
            *count = count.saturating_sub(amount);
        }
        counts.write(words);
    }

    fn weight(&self, words: &[u64], now: u64) -> u128 {
        Counts::read(words).rolled_to(self.part(now)).sum_without(0).into()
    }

    fn used(&self, words: &[u64], now: u64) -> u32 {
        let used = Counts::read(words).rolled_to(self.part(now)).sum_without(0);
        used.try_into().unwrap_or(u32::MAX)
    }

    fn add(&self, words: &mut [u64], at: u64, amount: u32) {
        let mut counts = Counts::read(words).rolled_to(self.part(at));
        counts.counts[0] = counts.counts[0].saturating_add(amount);
        counts.write(words);
    }

    fn most(&self) -> u32 {
        self.limit
    }

    /// Returns two windows, because a request counts for up to an eighth longer than one.
    fn epoch(&self) -> NonZeroU64 {
        self.length.saturating_mul(TWO)
    }
}
