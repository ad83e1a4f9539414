//! A bucket: how its words are read and changed.

use super::super::{
    memory::{Memory, Word},
    placement::Vacancy,
};
use crate::algorithm::{
    Outcome,
    window::{Counts, Moment, Window},
};

/// After how many windows a bucket has to be swept.
pub(super) const SWEPT_WITHIN: i64 = 64;

/// The largest count that fits, less one, so that no sum overflows.
pub(super) const LARGEST_LIMIT: u32 = 0xFFFE;

#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Bucket<M: Memory, const S: usize> {
    pub(super) header: M::Word,
    pub(super) slots: [M::Word; S],
}

/// The bits of a hash that distinguish the keys of a bucket. Never 0, which is an empty slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub(super) u64);

/// The result of [`Bucket::charge_known`].
pub(super) enum Known {
    /// The counts after the request.
    Charged(Counts),
    /// The key has no slot here.
    Absent,
    /// The request does not fit, the word is of another window or was changed meanwhile, or the bucket has to be swept.
    Undecided,
}

/// The result of a lookup without a lock.
pub(super) enum Lookup {
    Decided(Outcome),
    /// The key has no slot here.
    Absent,
    /// The bucket has to be swept first.
    Unswept,
}

/// The state of a bucket, for inserting a new key.
#[derive(Clone, Copy)]
pub(super) struct Scan {
    /// The newest window of a slot.
    pub(super) newest: u64,
    /// The key has a slot already.
    pub(super) is_found: bool,
    /// The first empty slot: lookups begin at the first.
    pub(super) empty: Option<usize>,
    /// How many slots are not empty.
    pub(super) taken: usize,
}

impl<M: Memory, const S: usize> Bucket<M, S> {
    /// Starts to load the bucket from memory.
    #[inline]
    pub(super) fn fetch(&self) {
        // The compiler does not remove an acquiring load whose value is unused, and later loads do not wait for it.
        self.header.load();
    }

    /// Charges a key whose word is of the current window, in a bucket that need not be swept, if the request fits.
    #[inline(always)]
    pub(super) fn charge_known(&self, window: &Window, tag: Tag, now: Moment, cost: u32) -> Known {
        let swept = self.swept();
        let Some((slot, word)) = self.find(tag) else { return Known::Absent };
        let is_swept = (now.index as u32).wrapping_sub(swept) < SWEPT_WITHIN as u32;
        let is_current = is_swept && (word >> 32) as u8 == now.index as u8;
        // The header may have been swept between the two loads, and the word may be newer than the header that was read.
        if !is_current || self.swept() != swept {
            return Known::Undecided;
        }
        let counts = window.roll(counts(word, now.index), now.index);
        match window.charge(counts, now, cost) {
            Some(charged) if self.slots[slot].replace(word, tag.with(charged)) => {
                Known::Charged(charged)
            }
            _ => Known::Undecided,
        }
    }

    #[inline]
    pub(super) fn decide(
        &self,
        window: &Window,
        tag: Tag,
        now: Moment,
        cost: u32,
        charge: bool,
    ) -> Lookup {
        loop {
            let swept = self.swept();
            if behind(swept, now) >= SWEPT_WITHIN {
                return Lookup::Unswept;
            }
            let Some((slot, word)) = self.find(tag) else { return Lookup::Absent };
            if self.swept() != swept {
                // The word may be newer than the header that was read.
                continue;
            }
            let counts = counts(word, full_index(swept, now));
            let at = window.no_earlier_than(now, counts.index);
            let (charged, outcome) = window.decide(window.roll(counts, at.index), at, cost);
            let refused = matches!(outcome, Outcome::Refused { .. });
            if !charge || refused || self.slots[slot].replace(word, tag.with(charged)) {
                return Lookup::Decided(outcome);
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

    /// Returns the lower 32 bits of the window in which the bucket was last swept.
    #[inline]
    fn swept(&self) -> u32 {
        (self.header.load() >> 32) as u32
    }

    #[inline]
    pub(super) fn find(&self, tag: Tag) -> Option<(usize, u64)> {
        self.slots.iter().enumerate().find_map(|(slot, word)| {
            let word = word.load();
            (Tag::from_word(word) == tag).then_some((slot, word))
        })
    }

    // The caller of the following methods holds the lock of the bucket.

    pub(super) fn counts(&self, word: u64, at: Moment) -> Counts {
        counts(word, full_index(self.swept(), at))
    }

    /// Reads all slots once.
    #[inline]
    pub(super) fn scan(&self, tag: Tag, now: Moment) -> Scan {
        let swept = self.swept();
        let (mut is_found, mut empty, mut taken, mut newest) = (false, None, 0, 0);
        for (slot, word) in self.slots.iter().enumerate() {
            let word = word.load();
            if word == 0 {
                empty = empty.or(Some(slot));
                continue;
            }
            taken += 1;
            is_found |= Tag::from_word(word) == tag;
            newest = newest.max(windows_after(word, swept.into()));
        }
        let newest = full_index(swept, now).saturating_add_signed(newest.into());
        Scan { newest, is_found, empty, taken }
    }

    pub(super) fn words(&self) -> [u64; S] {
        std::array::from_fn(|slot| self.slots[slot].load())
    }

    /// Clears expired slots, and updates the header to the window of `at`. Returns false if the header is up to date.
    pub(super) fn sweep(&self, window: &Window, at: Moment) -> bool {
        let swept = full_index(self.swept(), at);
        if swept >= at.index {
            return false;
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
        true
    }

    pub(super) fn vacancy(&self, words: &[u64; S], window: &Window, at: Moment) -> Vacancy {
        Vacancy::among(words.iter().map(|word| {
            let counts = window.roll(self.counts(*word, at), at.index);
            if *word == 0 { 0 } else { window.weight(counts, at) }
        }))
    }
}

/// Returns how many windows ago the bucket was swept. Negative if the clock of another thread was ahead of this one.
///
/// The 32 bits of the header are unambiguous for 13 years of the shortest windows.
#[inline]
fn behind(swept: u32, now: Moment) -> i64 {
    const AHEAD: u32 = 1 << 20;
    let windows = (now.index as u32).wrapping_sub(swept);
    if windows > u32::MAX - AHEAD { i64::from(windows as i32) } else { i64::from(windows) }
}

/// Returns the full number of the window in which the bucket was last swept.
#[inline]
fn full_index(swept: u32, now: Moment) -> u64 {
    now.index.wrapping_add_signed(-behind(swept, now))
}

/// Returns how many windows a word is newer than its bucket's header.
#[inline]
fn windows_after(word: u64, swept: u64) -> i8 {
    ((word >> 32) as u8).wrapping_sub(swept as u8) as i8
}

/// Returns the counts of a word in a bucket that was last swept in this window.
#[inline]
fn counts(word: u64, swept: u64) -> Counts {
    Counts {
        index: swept.saturating_add_signed(windows_after(word, swept).into()),
        previous: (word >> 16) as u16 as u32,
        current: word as u16 as u32,
    }
}

impl Tag {
    #[inline]
    pub(super) fn from_hash(key: u64) -> Self {
        let tag = key & 0xFF_FFFF;
        Self(if tag == 0 { 1 } else { tag })
    }

    #[inline]
    pub(super) fn from_word(word: u64) -> Self {
        Self(word >> 40)
    }

    /// Returns the word of a key with these counts.
    #[inline]
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
