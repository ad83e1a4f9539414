//! One atomic word for each key of a window counter, seven of them and a header to a cache line.
//!
//! ```text
//! slot:    tag 24 | window 8 | count of the window before 16 | count of this window 16
//! header:  window 32         | floor: count before 16        | count 16
//! ```
//!
//! A key that has a slot is charged by one compare-and-swap of its whole word: what is decided is decided of exactly
//! what is replaced. No lock is taken and nobody waits. A refusal writes nothing.
//!
//! What the packing gives up, and what is done about it:
//!
//! - **Counts have 16 bits**, so larger limits go into the [wide](super::wide) table.
//! - **Tags have 24 bits**: a newcomer is taken for one of the fourteen keys that it may meet once in 1.2 million times,
//!   and the two share one quota. That errs towards refusing, but for a key that sits in its spare bucket when a newcomer
//!   with its tag comes to its home: nobody can choose to be either.
//! - **Slots know their window modulo 256.** The header of the bucket has 32 bits of it. Whoever finds a header that is
//!   [`SWEPT_WITHIN`] windows old clears what is over and brings the header up to date, before anything is read in a
//!   window that a slot could be mistaken about. Windows shorter than a tenth of a second go into the wide table: no
//!   thread sleeps through half of 256 longer ones between two instructions.
//!
//! A newcomer takes the lock of its home bucket and that of its spare, each shared with other buckets. So no key ever
//! gets two slots, and headers are written by one thread at a time. Charges of keys that have a slot go on meanwhile:
//! if one comes in between, the newcomer's own compare-and-swap fails, and it looks again.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Vacancy, buckets_of,
    memory::{Lock, Machine, Memory, Word},
};
use crate::algorithm::{
    Outcome,
    window::{Counts, Moment, Window},
};

const SLOTS: usize = 7;

/// Four of seven slots taken, fewer than one key in a hundred thousand finds both of its buckets full.
const KEYS_PER_BUCKET: usize = 4;

/// How many windows a bucket may go without being swept.
const SWEPT_WITHIN: i64 = 64;

const SHORTEST_WINDOW: u64 = 100_000_000;

/// The largest count that fits, less one, so that no sum ever wraps.
const LARGEST_LIMIT: u32 = 0xFFFE;

/// Locks for newcomers. Two of them meet at one by chance only.
const MOST_LOCKS: usize = 1024;

/// The table. `S` is the number of slots of a bucket, fewer in a model than in a machine.
#[derive(Debug)]
pub(crate) struct Narrow<M: Memory = Machine, const S: usize = SLOTS> {
    buckets: Box<[Bucket<M, S>]>,
    newcomers: Box<[Alone<M::Lock>]>,
    /// Keys that had to go while they still had counts. Only newcomers write it.
    evicted: AtomicU64,
}

#[derive(Debug)]
#[repr(align(64))]
struct Bucket<M: Memory, const S: usize> {
    header: M::Word,
    slots: [M::Word; S],
}

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Alone<T>(T);

/// The bits of a hash that tell the keys of a bucket apart: never 0, which is an empty slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag(u64);

/// What a bucket says of a key without a lock.
enum Known {
    Decided(Outcome),
    /// The key has no slot here.
    No,
    /// The bucket has to be swept first.
    Unswept,
}

/// Whether counts of this window fit.
pub(super) fn holds(window: &Window) -> bool {
    window.limit() <= LARGEST_LIMIT && window.length() >= SHORTEST_WINDOW
}

impl<M: Memory, const S: usize> Narrow<M, S> {
    /// A table for this many active keys, in 16 bytes for each; nothing if there is not that much memory.
    pub(super) fn for_keys(keys: usize) -> Option<Self> {
        let count = keys.div_ceil(KEYS_PER_BUCKET).max(2);
        Some(Self {
            buckets: boxed(count)?,
            newcomers: boxed(count.next_power_of_two().min(MOST_LOCKS))?,
            evicted: AtomicU64::new(0),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets) + size_of_val(&*self.newcomers)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// How many slots are taken. It reads all of the table.
    pub(super) fn taken(&self) -> usize {
        let slots = self.buckets.iter().flat_map(|bucket| &bucket.slots);
        slots.filter(|slot| slot.load() != 0).count()
    }

    #[inline]
    pub(super) fn charge(&self, window: &Window, key: u64, now: u64, cost: u32) -> Outcome {
        self.decide(window, key, now, cost, cost > 0)
    }

    pub(super) fn look(&self, window: &Window, key: u64, now: u64, cost: u32) -> Outcome {
        let look = |cost| self.decide(window, key, now, cost, false);
        look(cost).uncharged(|| look(0))
    }

    #[inline]
    fn decide(&self, window: &Window, key: u64, now: u64, cost: u32, charge: bool) -> Outcome {
        let now = window.moment(now);
        let (home, spare) = buckets_of(key, self.buckets.len());
        for bucket in [home, spare] {
            match self.buckets[bucket].decide(window, Tag::of(key), now, cost, charge) {
                Known::Decided(outcome) => return outcome,
                Known::No => {}
                Known::Unswept => break,
            }
        }
        self.decide_newcomer(window, key, now, cost, charge)
    }

    pub(super) fn refund(&self, window: &Window, key: u64, charged_at: u64, amount: u32) {
        let (home, spare) = buckets_of(key, self.buckets.len());
        let tag = Tag::of(key);
        for bucket in [home, spare] {
            if self.buckets[bucket].refund(window, tag, charged_at, amount) {
                return;
            }
        }
        // Whoever was driven out meanwhile has nothing to be given back: the floor may be somebody else's.
    }

    /// Sweeps the two buckets of a key, and gives it a slot if it has none and its request is admitted.
    #[cold]
    fn decide_newcomer(
        &self,
        window: &Window,
        key: u64,
        now: Moment,
        cost: u32,
        charge: bool,
    ) -> Outcome {
        let (home, spare) = buckets_of(key, self.buckets.len());
        let _locks = self.lock_both(home, spare);
        let (home, spare) = (&self.buckets[home], &self.buckets[spare]);
        let tag = Tag::of(key);
        loop {
            let newest = home.newest(now).max(spare.newest(now));
            let at = window.no_earlier_than(now, newest);
            home.sweep(window, at);
            spare.sweep(window, at);
            for bucket in [home, spare] {
                // Another thread may have given the key a slot before the lock was ours.
                if let Known::Decided(outcome) = bucket.decide(window, tag, now, cost, charge) {
                    return outcome;
                }
            }
            if let Some((outcome, evicts)) = admit(home, spare, window, tag, at, cost, charge) {
                if evicts {
                    self.evicted.fetch_add(1, Ordering::Relaxed);
                }
                return outcome;
            }
        }
    }

    /// The locks of two buckets, in the order of the locks, so that two threads never wait for each other.
    fn lock_both(&self, home: usize, spare: usize) -> (Guard<'_, M>, Option<Guard<'_, M>>) {
        let lock = |bucket| bucket & (self.newcomers.len() - 1);
        let (first, second) = (lock(home).min(lock(spare)), lock(home).max(lock(spare)));
        let guard = self.newcomers[first].0.lock();
        (guard, (first != second).then(|| self.newcomers[second].0.lock()))
    }
}

type Guard<'a, M> = <<M as Memory>::Lock as Lock>::Guard<'a>;

/// Puts a newcomer into the better of two buckets, and says whether another key had to go for it. `None` if a charge came
/// in between.
fn admit<M: Memory, const S: usize>(
    home: &Bucket<M, S>,
    spare: &Bucket<M, S>,
    window: &Window,
    tag: Tag,
    at: Moment,
    cost: u32,
    charge: bool,
) -> Option<(Outcome, bool)> {
    let floor = [home, spare].map(|bucket| window.roll(bucket.floor(at), at.index));
    let floor = floor[0].at_least(floor[1]);
    let (words_home, words_spare) = (home.words(), spare.words());
    let (at_home, at_spare) =
        (home.vacancy(&words_home, window, at), spare.vacancy(&words_spare, window, at));
    let (bucket, slot, word) = if at_spare.is_better_than(&at_home) {
        (spare, at_spare.slot, words_spare[at_spare.slot])
    } else {
        (home, at_home.slot, words_home[at_home.slot])
    };

    let leaving = window.roll(bucket.counts(word, at), at.index);
    let (charged, outcome) = window.decide(floor.at_least(leaving), at, cost);
    if !charge || matches!(outcome, Outcome::Refused { .. }) {
        return Some((outcome, false));
    }
    let evicts = !leaving.is_idle();
    if evicts {
        // Before the slot is taken: whoever leaves must find a floor that is high enough at any time.
        bucket.raise_floor(window, leaving, at);
    }
    bucket.slots[slot].replace(word, tag.with(charged)).then_some((outcome, evicts))
}

impl<M: Memory, const S: usize> Bucket<M, S> {
    #[inline]
    fn decide(&self, window: &Window, tag: Tag, now: Moment, cost: u32, charge: bool) -> Known {
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

    fn refund(&self, window: &Window, tag: Tag, charged_at: u64, amount: u32) -> bool {
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

    fn find(&self, tag: Tag) -> Option<(usize, u64)> {
        self.slots.iter().enumerate().find_map(|(slot, word)| {
            let word = word.load();
            (Tag::of_word(word) == tag).then_some((slot, word))
        })
    }

    fn words(&self) -> [u64; S] {
        std::array::from_fn(|slot| self.slots[slot].load())
    }

    // What follows is done by whoever holds the bucket's lock.

    fn counts(&self, word: u64, at: Moment) -> Counts {
        counts(word, full_index(self.swept(), at))
    }

    /// The most that was ever driven out, in the window in which the bucket was last swept.
    fn floor(&self, at: Moment) -> Counts {
        let header = self.header.load();
        let index = full_index((header >> 32) as u32, at);
        Counts { index, previous: (header >> 16) as u16 as u32, current: header as u16 as u32 }
    }

    /// The newest window in which anything was written here.
    fn newest(&self, now: Moment) -> u64 {
        let swept = full_index(self.swept(), now);
        let live = self.words().into_iter().filter(|word| *word != 0);
        live.map(|word| counts(word, swept).index).fold(swept, u64::max)
    }

    /// Clears what is over, and moves the header and its floor to the window of `at`.
    fn sweep(&self, window: &Window, at: Moment) {
        let floor = self.floor(at);
        if floor.index >= at.index {
            return;
        }
        for slot in &self.slots {
            loop {
                let word = slot.load();
                let over = counts(word, floor.index).index + 1 < at.index;
                if word == 0 || !over || slot.replace(word, 0) {
                    break;
                }
            }
        }
        self.write_header(window.roll(floor, at.index));
    }

    fn raise_floor(&self, window: &Window, to: Counts, at: Moment) {
        let floor = window.roll(self.floor(at), at.index);
        self.write_header(floor.at_least(to));
    }

    fn write_header(&self, floor: Counts) {
        let index = u64::from(floor.index as u32) << 32;
        self.header.store(index | u64::from(floor.previous) << 16 | u64::from(floor.current));
    }

    fn vacancy(&self, words: &[u64; S], window: &Window, at: Moment) -> Vacancy {
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
    fn of(key: u64) -> Self {
        let tag = key & 0xFF_FFFF;
        Self(if tag == 0 { 1 } else { tag })
    }

    fn of_word(word: u64) -> Self {
        Self(word >> 40)
    }

    /// The word of a key with these counts.
    fn with(self, counts: Counts) -> u64 {
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

fn boxed<T: Default>(count: usize) -> Option<Box<[T]>> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).ok()?;
    items.resize_with(count, T::default);
    Some(items.into_boxed_slice())
}

#[cfg(test)]
#[path = "model.rs"]
mod model;
