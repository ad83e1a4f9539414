//! The words of a bucket: what they say, and how they change.

use super::super::{
    Vacancy,
    memory::{Memory, Word},
};
use super::{LARGEST_LIMIT, SWEPT_WITHIN};
use crate::algorithm::{
    Outcome,
    window::{Counts, Moment, Window},
};

#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Bucket<M: Memory, const S: usize> {
    pub(super) header: M::Word,
    pub(super) slots: [M::Word; S],
}

/// The bits of a hash that tell the keys of a bucket apart: never 0, which is an empty slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub(super) u64);

/// What a bucket says of a key without a lock.
pub(super) enum Known {
    Decided(Outcome),
    /// The key has no slot here.
    No,
    /// The bucket has to be swept first.
    Unswept,
}

impl<M: Memory, const S: usize> Bucket<M, S> {
    #[inline]
    pub(super) fn decide(
        &self,
        window: &Window,
        tag: Tag,
        now: Moment,
        cost: u32,
        charge: bool,
    ) -> Known {
        loop {
            let swept = self.swept();
            if behind(swept, now) >= SWEPT_WITHIN {
                return Known::Unswept;
            }
            let Some((slot, word)) = self.find(tag) else { return Known::No };
            if self.swept() != swept {
                // The word may be of a time that the header, as it was read, knows nothing of.
                continue;
            }
            let counts = counts(word, full_index(swept, now));
            let at = window.no_earlier_than(now, counts.index);
            let (charged, outcome) = window.decide(window.roll(counts, at.index), at, cost);
            let refused = matches!(outcome, Outcome::Refused { .. });
            if !charge || refused || self.slots[slot].replace(word, tag.with(charged)) {
                return Known::Decided(outcome);
            }
        }
    }

    pub(super) fn refund(&self, window: &Window, tag: Tag, charged_at: u64, amount: u32) -> bool {
        let now = window.moment(charged_at);
        loop {
            let swept = self.swept();
            let Some((slot, word)) = self.find(tag) else { return false };
            if self.swept() != swept {
                continue;
            }
            let counts = counts(word, full_index(swept, now));
            let less = window.without(counts, charged_at, amount);
            if less == counts || self.slots[slot].replace(word, tag.with(less)) {
                return true;
            }
        }
    }

    /// The lower 32 bits of the number of the window in which the bucket was last swept.
    fn swept(&self) -> u32 {
        (self.header.load() >> 32) as u32
    }

    pub(super) fn find(&self, tag: Tag) -> Option<(usize, u64)> {
        self.slots.iter().enumerate().find_map(|(slot, word)| {
            let word = word.load();
            (Tag::of_word(word) == tag).then_some((slot, word))
        })
    }

    pub(super) fn words(&self) -> [u64; S] {
        std::array::from_fn(|slot| self.slots[slot].load())
    }

    // What follows is done by whoever holds the bucket's lock.

    pub(super) fn counts(&self, word: u64, at: Moment) -> Counts {
        counts(word, full_index(self.swept(), at))
    }

    /// The newest window in which anything was written here.
    pub(super) fn newest(&self, now: Moment) -> u64 {
        let swept = full_index(self.swept(), now);
        let live = self.words().into_iter().filter(|word| *word != 0);
        live.map(|word| counts(word, swept).index).fold(swept, u64::max)
    }

    /// Clears what is over, and moves the header to the window of `at`.
    pub(super) fn sweep(&self, window: &Window, at: Moment) {
        let swept = full_index(self.swept(), at);
        if swept >= at.index {
            return;
        }
        let oldest = at.index - u64::from(!window.is_fixed());
        for slot in &self.slots {
            loop {
                let word = slot.load();
                let over = counts(word, swept).index < oldest;
                if word == 0 || !over || slot.replace(word, 0) {
                    break;
                }
            }
        }
        self.header.store(u64::from(at.index as u32) << 32);
    }

    pub(super) fn vacancy(&self, words: &[u64; S], window: &Window, at: Moment) -> Vacancy {
        Vacancy::among(words.iter().map(|word| {
            let counts = window.roll(self.counts(*word, at), at.index);
            if *word == 0 { 0 } else { window.weight(counts, at) }
        }))
    }
}

/// How many windows ago the bucket was swept; negative where another thread's clock is ahead of ours.
///
/// The header's 32 bits are enough for a bucket that nobody visits for 13 years, of the shortest windows.
fn behind(swept: u32, now: Moment) -> i64 {
    const AHEAD: u32 = 1 << 20;
    let windows = (now.index as u32).wrapping_sub(swept);
    if windows > u32::MAX - AHEAD { i64::from(windows as i32) } else { i64::from(windows) }
}

/// All bits of the number of the window in which the bucket was last swept.
fn full_index(swept: u32, now: Moment) -> u64 {
    now.index.wrapping_add_signed(-behind(swept, now))
}

/// What a slot's word says, in a bucket that was last swept in this window.
fn counts(word: u64, swept: u64) -> Counts {
    let newer = ((word >> 32) as u8).wrapping_sub(swept as u8) as i8;
    Counts {
        index: swept.saturating_add_signed(newer.into()),
        previous: (word >> 16) as u16 as u32,
        current: word as u16 as u32,
    }
}

impl Tag {
    pub(super) fn of(key: u64) -> Self {
        let tag = key & 0xFF_FFFF;
        Self(if tag == 0 { 1 } else { tag })
    }

    pub(super) fn of_word(word: u64) -> Self {
        Self(word >> 40)
    }

    /// The word of a key with these counts.
    pub(super) fn with(self, counts: Counts) -> u64 {
        debug_assert!(counts.previous.max(counts.current) <= LARGEST_LIMIT);
        self.0 << 40
            | u64::from(counts.index as u8) << 32
            | u64::from(counts.previous) << 16
            | u64::from(counts.current)
    }
}

impl<M: Memory, const S: usize> Default for Bucket<M, S> {
    fn default() -> Self {
        Self { header: M::Word::default(), slots: std::array::from_fn(|_| M::Word::default()) }
    }
}
