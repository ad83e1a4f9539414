//! The sliding-window counter: two counts and a clock, without floating point.
//!
//! Time is divided into windows of equal length. A key has the count of the previous window (`q`) and of the current one
//! (`c`). With windows of length `W`, of which `e` has elapsed, the last `W` are estimated to contain
//! `floor(q * (W - e) / W) + c` requests, as if those of the previous window had been spread evenly. A request of cost
//! `n` is admitted if and only if
//!
//! ```text
//! floor(q * (W - e) / W) + c + n <= L
//! ```
//!
//! The weighted part is rounded down. Without the rounding, a client that is paced below a small limit is rejected now and
//! then (5.5 % of its requests at a limit of 10, 44 % at a limit of 1), because a fraction of an old request takes the
//! place of a whole new one.
//!
//! In a fixed window `q` does not count: each window starts at zero.
//!
//! A tick is a nanosecond, the unit of `Duration`: neither clock nor window is ever rounded, and a wait is exact to the
//! nanosecond. 64 bits of nanoseconds are 584 years; products are computed in 128 bits.

pub(crate) mod counter;
#[cfg(test)]
mod tests;

use std::num::NonZeroU64;

use super::{meter::Meter, outcome::Outcome};
pub(crate) use counter::{Counts, Moment, Window, WindowStanding};

use crate::Standing;

impl Window {
    /// Returns what is left, and the time until there is more.
    #[inline]
    pub(crate) fn standing(&self, counts: Counts, at: Moment) -> Standing {
        let standing = Standing::from_window(self.standing_now(counts, at));
        match at.behind {
            0 => standing,
            behind => standing.with_more_in(|wait| wait.saturating_add(behind)),
        }
    }

    /// Returns the outcome of a request, and the counts after it.
    #[inline]
    pub(crate) fn decide(&self, counts: Counts, at: Moment, cost: u32) -> (Counts, Outcome) {
        match self.charge(counts, at, cost) {
            Some(charged) => {
                let standing = self.standing(charged, at);
                (charged, Outcome::Admitted { standing, at: self.time_of(at) })
            }
            None => (counts, self.refused(counts, at, cost)),
        }
    }

    /// Charges a request that fits, to the words of a key. Otherwise changes nothing and returns `None`. The time must not be
    /// before that of an earlier call with the same words.
    #[inline]
    pub(crate) fn charge_known(
        &self,
        words: &mut [u64],
        now: u64,
        cost: u32,
    ) -> Option<WindowStanding> {
        let at = self.moment(now);
        let charged = self.charge(self.roll(read(words), at.index), at, cost)?;
        write(charged, words);
        Some(self.standing_now(charged, at))
    }

    #[cold]
    fn refused(&self, counts: Counts, at: Moment, cost: u32) -> Outcome {
        let wait = self.wait(counts, at, cost);
        Outcome::Refused { standing: self.standing(counts, at), wait }
    }
}

/// A key has two words: the number of the window, and the two counts.
impl Meter for Window {
    fn words(&self) -> usize {
        2
    }

    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome {
        let at = self.moment(now);
        let (counts, outcome) = self.decide(self.roll(read(words), at.index), at, cost);
        write(counts, words);
        outcome
    }

    fn refund(&self, words: &mut [u64], _: u64, charged_at: u64, amount: u32) {
        write(self.without(read(words), charged_at, amount), words);
    }

    fn weight(&self, words: &[u64], now: u64) -> u128 {
        let at = self.moment(now);
        Self::weight(self, self.roll(read(words), at.index), at)
    }

    fn used(&self, words: &[u64], now: u64) -> u32 {
        let at = self.moment(now);
        let used = Self::weight(self, self.roll(read(words), at.index), at);
        used.div_ceil(u128::from(self.length.get())).try_into().unwrap_or(u32::MAX)
    }

    fn add(&self, words: &mut [u64], at: u64, amount: u32) {
        let counts = self.roll(read(words), self.moment(at).index);
        write(Counts { current: counts.current.saturating_add(amount), ..counts }, words);
    }

    fn most(&self) -> u32 {
        self.limit
    }

    /// Returns the length of a window.
    fn epoch(&self) -> NonZeroU64 {
        self.length
    }
}

fn read(words: &[u64]) -> Counts {
    Counts { index: words[0], previous: (words[1] >> 32) as u32, current: words[1] as u32 }
}

fn write(counts: Counts, words: &mut [u64]) {
    words[0] = counts.index;
    words[1] = u64::from(counts.previous) << 32 | u64::from(counts.current);
}
