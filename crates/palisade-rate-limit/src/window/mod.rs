//! The sliding-window counter: two counts and a clock, nothing of HTTP, no floating point.
//!
//! Time is cut into windows of equal length. A key has the count of the window before (`q`) and of this one (`c`).
//! With the window `W` long and `e` of it elapsed, the last `W` are taken to hold `q * (W - e) / W + c` requests, as
//! if those of the window before had come evenly. A request of cost `n` is admitted if and only if
//!
//! ```text
//! q * (W - e) + (c + n) * W <= L * W
//! ```
//!
//! A tick is a nanosecond, because that is what `Duration` counts in: neither clock nor window is ever rounded, and a
//! wait is exact to the nanosecond. 64 bits of them are 584 years; the products are made in 128 bits.

#[cfg(test)]
mod tests;

use std::num::NonZeroU64;

use crate::Standing;

/// A limit and the length of its window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    limit: u32,
    length: NonZeroU64,
}

/// What a key did in the window `index` and in the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) index: u64,
    pub(crate) previous: u32,
    pub(crate) current: u32,
}

/// A reading of the clock: which window it is, and how much of it has elapsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) index: u64,
    elapsed: u64,
    /// How far the clock lags behind this moment; see [`Window::no_earlier_than`].
    behind: u64,
}

impl Counts {
    /// The same history, told in the window `index`. Counts of a later window stay as they are.
    pub(crate) fn rolled_to(self, index: u64) -> Self {
        match index.checked_sub(self.index) {
            None | Some(0) => self,
            Some(1) => Self { index, previous: self.current, current: 0 },
            Some(_) => Self { index, previous: 0, current: 0 },
        }
    }

    /// The least history that is no shorter than either of two, of the same window.
    pub(crate) fn at_least(self, other: Self) -> Self {
        Self {
            index: self.index,
            previous: self.previous.max(other.previous),
            current: self.current.max(other.current),
        }
    }

    /// True if nothing is remembered, so that forgetting the key grants it nothing.
    pub(crate) fn is_idle(self) -> bool {
        self.previous == 0 && self.current == 0
    }
}

impl Window {
    pub(crate) fn new(limit: u32, length: NonZeroU64) -> Self {
        Self { limit, length }
    }

    /// Reads a clock that shows `now` nanoseconds since some fixed moment.
    pub(crate) fn moment(&self, now: u64) -> Moment {
        Moment { index: now / self.length, elapsed: now % self.length, behind: 0 }
    }

    /// The moment, or the beginning of the window `index` where the clock is still before it.
    ///
    /// A reading may be older than what is written already: another thread was faster, or the clock went backwards.
    /// The beginning of a window is when its history weighs most, so an old reading never grants.
    pub(crate) fn no_earlier_than(&self, at: Moment, index: u64) -> Moment {
        match index.checked_sub(at.index) {
            None | Some(0) => at,
            Some(windows) => Moment {
                index,
                elapsed: 0,
                behind: windows.saturating_mul(self.length.get()).saturating_sub(at.elapsed),
            },
        }
    }

    /// The requests that the last window's length is taken to hold, times the length. The counts are of the window of
    /// the moment, here and below.
    pub(crate) fn weight(&self, counts: Counts, at: Moment) -> u128 {
        let length = self.length.get();
        let overlap = length - at.elapsed;
        u128::from(counts.previous) * u128::from(overlap)
            + u128::from(counts.current) * u128::from(length)
    }

    /// True if a request of this cost fits.
    pub(crate) fn admits(&self, counts: Counts, at: Moment, cost: u32) -> bool {
        let length = u128::from(self.length.get());
        self.weight(counts, at) + u128::from(cost) * length <= u128::from(self.limit) * length
    }

    /// The counts after a request of this cost, if it fits. A request that does not fit is not charged.
    pub(crate) fn charge(&self, counts: Counts, at: Moment, cost: u32) -> Option<Counts> {
        // What is admitted is within the limit, so the sum is too.
        self.admits(counts, at, cost)
            .then(|| Counts { current: counts.current.saturating_add(cost), ..counts })
    }

    /// What is left, and how long until there is more of it.
    pub(crate) fn standing(&self, counts: Counts, at: Moment) -> Standing {
        let length = u128::from(self.length.get());
        let left = (u128::from(self.limit) * length).saturating_sub(self.weight(counts, at));
        let remaining = u32::try_from(left / length).unwrap_or(u32::MAX);
        // With nothing charged there is never more than now: then it is there already.
        let more_in_nanos = self.wait(counts, at, remaining.saturating_add(1)).unwrap_or(0);
        Standing { remaining, more_in_nanos }
    }

    /// How long until a request of this cost is admitted if nothing else comes, to the tick: it is admitted then, and
    /// not a tick earlier. `None` if it never is.
    pub(crate) fn wait(&self, counts: Counts, at: Moment, cost: u32) -> Option<u64> {
        let room = self.limit.checked_sub(cost)?;
        if self.admits(counts, at, cost) {
            return Some(0);
        }
        let wait = match room.checked_sub(counts.current) {
            // It fits in this window, as soon as the window before weighs little enough.
            Some(left) => self.elapsed_until(counts.previous, left).saturating_sub(at.elapsed),
            // This window is too full. It must become the window before, and then weigh little enough.
            None => {
                let next = self.length.get() - at.elapsed;
                next + self.elapsed_until(counts.current, room)
            }
        };
        Some(wait.saturating_add(at.behind))
    }

    /// How much of a window has to elapse until `count` requests of the window before weigh at most `room`:
    /// the least `e` with `count * (W - e) <= room * W`.
    fn elapsed_until(&self, count: u32, room: u32) -> u64 {
        let length = self.length.get();
        let overlap = (u128::from(room) * u128::from(length)).checked_div(u128::from(count));
        let overlap = overlap.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(u64::MAX);
        length.saturating_sub(overlap)
    }
}
