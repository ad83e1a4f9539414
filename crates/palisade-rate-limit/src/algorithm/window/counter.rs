//! The arithmetic of windows on plain numbers.

use std::num::NonZeroU64;

/// A limit and the length of its window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(super) limit: u32,
    pub(super) length: NonZeroU64,
    /// The previous window does not count.
    fixed: bool,
    /// `(2^64 - 1) / length`, rounded down: see [`Window::moment`].
    reciprocal: u64,
}

/// The counts of a key after its request, from which the standing is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowStanding {
    length: NonZeroU64,
    elapsed: u64,
    limit: u32,
    previous: u32,
    current: u32,
    fixed: bool,
}

/// The counts of the window `index` and of the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) index: u64,
    pub(crate) previous: u32,
    pub(crate) current: u32,
}

/// A reading of the clock: the number of the window, and the elapsed time in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) index: u64,
    pub(super) elapsed: u64,
    /// How far the clock is behind this moment; see [`Window::no_earlier_than`].
    pub(super) behind: u64,
}

impl Counts {
    #[inline]
    pub(super) fn rolled_to(self, index: u64) -> Self {
        match index.checked_sub(self.index) {
            None | Some(0) => self,
            Some(1) => Self { index, previous: self.current, current: 0 },
            Some(_) => Self { index, previous: 0, current: 0 },
        }
    }

    /// Returns true if both counts are 0, so that the key can be evicted without losing anything.
    pub(crate) fn is_idle(self) -> bool {
        self.previous == 0 && self.current == 0
    }
}

impl Window {
    pub(crate) fn sliding(limit: u32, length: NonZeroU64) -> Self {
        Self { limit, length, fixed: false, reciprocal: u64::MAX / length }
    }

    pub(crate) fn fixed(limit: u32, length: NonZeroU64) -> Self {
        Self { fixed: true, ..Self::sliding(limit, length) }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns true if each window starts at zero.
    pub(crate) fn is_fixed(&self) -> bool {
        self.fixed
    }

    pub(crate) fn length(&self) -> u64 {
        self.length.get()
    }

    /// Returns the counts as seen from the window `index`. Counts of a later window are returned unchanged.
    #[inline]
    pub(crate) fn roll(&self, counts: Counts, index: u64) -> Counts {
        let rolled = counts.rolled_to(index);
        if self.fixed { Counts { previous: 0, ..rolled } } else { rolled }
    }

    /// Returns the moment of a clock that shows `now` nanoseconds.
    ///
    /// The division is a multiplication by the reciprocal. That is less than `1 / length` by at most `1 / 2^64`, and `now` is
    /// less than `2^64`, so the product is less than the quotient by less than 1: rounded down, it is the quotient or one less.
    #[inline]
    pub(crate) fn moment(&self, now: u64) -> Moment {
        let length = self.length.get();
        let index = ((u128::from(now) * u128::from(self.reciprocal)) >> 64) as u64;
        let elapsed = now - index * length;
        match elapsed.checked_sub(length) {
            None => Moment { index, elapsed, behind: 0 },
            Some(elapsed) => Moment { index: index + 1, elapsed, behind: 0 },
        }
    }

    /// Returns the moment, or the beginning of the window `index` if that is later.
    ///
    /// A reading can be older than the stored counts, if another thread was faster or the clock went backwards. At the beginning
    /// of a window its history has the greatest weight, so an old reading never admits too much.
    #[inline]
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

    /// Returns the weight of a key when a key has to be evicted: the estimate without rounding, times the length. It is 0 only if
    /// both counts are 0. The counts must be of the window of the moment, here and below.
    pub(crate) fn weight(&self, counts: Counts, at: Moment) -> u128 {
        let length = u128::from(self.length.get());
        let overlap = length - u128::from(at.elapsed);
        u128::from(counts.previous) * overlap + u128::from(counts.current) * length
    }

    /// Returns how many requests the last window's length is estimated to contain.
    pub(crate) fn used(&self, counts: Counts, at: Moment) -> u64 {
        if counts.previous == 0 {
            return u64::from(counts.current);
        }
        let length = self.length.get();
        let (previous, overlap) = (u64::from(counts.previous), length - at.elapsed);
        // A division of 64 bits takes a fraction of the time of one of 128, and nearly all products fit.
        let weighted = match previous.checked_mul(overlap) {
            Some(product) => product / length,
            // The overlap is at most the length, so the quotient is at most the count.
            None => (u128::from(previous) * u128::from(overlap) / u128::from(length)) as u64,
        };
        weighted + u64::from(counts.current)
    }

    /// Returns true if a request of this cost fits: if [`used`](Self::used) and the cost are at most the limit.
    #[inline]
    pub(crate) fn admits(&self, counts: Counts, at: Moment, cost: u32) -> bool {
        let room = self.limit.checked_sub(counts.current).and_then(|room| room.checked_sub(cost));
        let Some(room) = room else { return false };
        if counts.previous == 0 {
            return true;
        }
        // The quotient of this product and the length is at most `room`, rounded down, if it is less than `room + 1`.
        let length = self.length.get();
        let product = u128::from(counts.previous) * u128::from(length - at.elapsed);
        product < (u128::from(room) + 1) * u128::from(length)
    }

    /// Returns the counts after a request of this cost. `None` if it does not fit.
    #[inline]
    pub(crate) fn charge(&self, counts: Counts, at: Moment, cost: u32) -> Option<Counts> {
        // Admitted requests are within the limit, so the sum cannot overflow.
        self.admits(counts, at, cost)
            .then(|| Counts { current: counts.current.saturating_add(cost), ..counts })
    }

    /// Returns the standing at a moment of the clock, not yet computed.
    #[inline]
    pub(crate) fn standing_now(&self, counts: Counts, at: Moment) -> WindowStanding {
        let Self { limit, length, fixed, .. } = *self;
        let Counts { previous, current, .. } = counts;
        WindowStanding { length, elapsed: at.elapsed, limit, previous, current, fixed }
    }

    fn remaining(&self, counts: Counts, at: Moment) -> u32 {
        u64::from(self.limit).saturating_sub(self.used(counts, at)) as u32
    }

    /// Returns the counts without a charge of the time `charged_at`, as far as it still counts.
    pub(crate) fn without(&self, counts: Counts, charged_at: u64, amount: u32) -> Counts {
        match counts.index.checked_sub(charged_at / self.length) {
            Some(0) => Counts { current: counts.current.saturating_sub(amount), ..counts },
            Some(1) => Counts { previous: counts.previous.saturating_sub(amount), ..counts },
            _ => counts,
        }
    }

    #[inline]
    pub(super) fn time_of(&self, at: Moment) -> u64 {
        // The time of the clock, or the beginning of a later window that another thread has seen.
        at.index.wrapping_mul(self.length.get()).wrapping_add(at.elapsed)
    }

    /// Returns the exact time until a request of this cost is admitted if no other request arrives: it is admitted then, and not
    /// a nanosecond earlier. `None` if it never is.
    pub(crate) fn wait(&self, counts: Counts, at: Moment, cost: u32) -> Option<u64> {
        let room = self.limit.checked_sub(cost)?;
        if self.admits(counts, at, cost) {
            return Some(0);
        }
        Some(self.wait_for(room, counts, at).saturating_add(at.behind))
    }

    /// Returns the time until at most `room` of the quota is used, if it is not yet so.
    fn wait_for(&self, room: u32, counts: Counts, at: Moment) -> u64 {
        match room.checked_sub(counts.current) {
            // It fits in this window, as soon as the weight of the previous window is small enough.
            Some(left) => self.elapsed_until(counts.previous, left).saturating_sub(at.elapsed),
            // This window is too full: it must become the previous window, and its weight small enough.
            None => {
                let next = self.length.get() - at.elapsed;
                if self.fixed { next } else { next + self.elapsed_until(counts.current, room) }
            }
        }
    }

    /// Returns how much of a window has to elapse until `count` requests of the previous window count as at most `room`:
    /// the least `e` with `floor(count * (W - e) / W) <= room`.
    fn elapsed_until(&self, count: u32, room: u32) -> u64 {
        let length = self.length.get();
        // The largest overlap with count * overlap < (room + 1) * W.
        let overlap = match (u64::from(room) + 1).checked_mul(length) {
            Some(product) => (product - 1).checked_div(u64::from(count)),
            None => {
                let product = (u128::from(room) + 1) * u128::from(length);
                let overlap = (product - 1).checked_div(u128::from(count));
                overlap.map(|overlap| u64::try_from(overlap).unwrap_or(u64::MAX))
            }
        };
        overlap.map_or(0, |overlap| length.saturating_sub(overlap))
    }
}

impl WindowStanding {
    pub(crate) fn remaining(&self) -> u32 {
        let (window, counts, at) = self.parts();
        window.remaining(counts, at)
    }

    /// Returns what is left, and the time until there is more, in nanoseconds. It is `None` if there never is.
    #[inline]
    pub(crate) fn report(&self) -> (u32, Option<u64>) {
        let (window, counts, at) = self.parts();
        let remaining = window.remaining(counts, at);
        // One more never fits now, by the meaning of `remaining`.
        let room = window.limit.checked_sub(remaining).and_then(|used| used.checked_sub(1));
        (remaining, room.map(|room| window.wait_for(room, counts, at)))
    }

    /// Returns true if less than `count` is left.
    #[inline]
    pub(crate) fn has_less_than(&self, count: u32) -> bool {
        let (window, counts, at) = self.parts();
        count > 0 && !window.admits(counts, at, count)
    }

    #[inline]
    fn parts(&self) -> (Window, Counts, Moment) {
        let Self { length, elapsed, limit, previous, current, fixed } = *self;
        // The reciprocal is needed only to read a clock.
        let window = Window { limit, length, fixed, reciprocal: 0 };
        let at = Moment { index: 0, elapsed, behind: 0 };
        (window, Counts { index: 0, previous, current }, at)
    }
}
