//! Keys that are blocked, by an operator or because they went on after many rejections.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use palisade_core::ConfigError;

use crate::{Quota, Standing, algorithm::Outcome, counters::Counter};

/// Blocks keys that go on after many rejections. See [`RateLimitBuilder::ban`](crate::RateLimitBuilder::ban).
///
/// ```
/// use std::time::Duration;
/// use palisade_rate_limit::{Ban, Quota, RateLimit};
///
/// // After 50 rejections in a minute a client is blocked for a minute, then for two, four … up to a day.
/// let ban = Ban::after(50, Duration::from_secs(60)).growing_to(Duration::from_secs(86_400));
/// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).ban(ban).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    rejections: u32,
    within: Duration,
    first: Duration,
    longest: Duration,
}

impl Ban {
    /// Blocks a key after so many rejections within a window. The block lasts for as long as the window at first, and
    /// twice as long each time that the key earns another, up to a day. A key that earns none for as long as its last
    /// block starts again with the shortest.
    pub const fn after(rejections: u32, within: Duration) -> Self {
        Self { rejections, within, first: within, longest: Duration::from_secs(86_400) }
    }

    /// Sets how long the first block lasts. Default: as long as the window of the rejections.
    #[must_use]
    pub const fn starting_with(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// Sets how long a block lasts at most. Default: a day.
    #[must_use]
    pub const fn growing_to(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Returns how many rejections within the [window](Self::window) block a key.
    pub const fn rejections(&self) -> u32 {
        self.rejections
    }

    /// Returns the window of the rejections.
    pub const fn window(&self) -> Duration {
        self.within
    }

    /// Returns how long the first block lasts.
    pub const fn first(&self) -> Duration {
        self.first
    }

    /// Returns how long a block lasts at most. Not less than the first.
    pub fn longest(&self) -> Duration {
        self.longest.max(self.first)
    }

    /// Returns how long the next block lasts, after so many.
    fn length(self, before: u32) -> Duration {
        let factor = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest())
    }
}

/// The most keys that are blocked at the same time, or remembered because they were.
const MOST_BLOCKED: usize = 100_000;
const SHARDS: usize = 16;

/// The keys that are blocked on this machine.
#[derive(Debug)]
pub(crate) struct Blocks {
    shards: Box<[Mutex<HashMap<u64, Block>>]>,
    /// Entries of all shards: while there are none, a decision reads this and nothing else.
    entries: AtomicUsize,
    bans: Option<Bans>,
}

#[derive(Debug)]
struct Bans {
    ban: Ban,
    rejections: Counter,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    until: u64,
    /// How many blocks the key has earned, and until when they are remembered.
    earned: u32,
    remembered_until: u64,
    by_operator: bool,
}

impl Blocks {
    /// # Errors
    ///
    /// If a ban has no rejections, no window or no length.
    pub(crate) fn new(ban: Option<Ban>, keys: usize) -> Result<Self, ConfigError> {
        let bans = match ban {
            None => None,
            Some(ban) if ban.rejections == 0 || ban.within.is_zero() || ban.first.is_zero() => {
                let remedy = "choose at least one rejection, a window and a first block that last longer than nothing, \
                              such as Ban::after(50, Duration::from_secs(60))";
                return Err(ConfigError::new("ban", format_args!("{ban:?}"), remedy));
            }
            Some(ban) => {
                let quota = Quota::per(ban.rejections, ban.within).fixed_window();
                Some(Bans { ban, rejections: Counter::of(&quota, keys)? })
            }
        };
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Ok(Self { shards, entries: AtomicUsize::new(0), bans })
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Block>> {
        // Entries are written whole.
        let shard = &self.shards[key as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how long a key is still blocked, in nanoseconds. `None` if it is not blocked.
    #[inline]
    pub(crate) fn rest(&self, key: u64, now: impl FnOnce() -> u64) -> Option<u64> {
        if self.entries.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let until = self.shard(key).get(&key)?.until;
        until.checked_sub(now()).filter(|rest| *rest > 0)
    }

    /// Blocks a key until then, in place of an earlier block.
    pub(crate) fn block(&self, key: u64, now: u64, until: u64) {
        let earned = self.shard(key).get(&key).map_or(0, |old| old.earned);
        self.put(key, now, Block { until, earned, remembered_until: until, by_operator: true });
    }

    /// Ends a block, and forgets the earlier ones.
    pub(crate) fn unblock(&self, key: u64) {
        if self.shard(key).remove(&key).is_some() {
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(bans) = &self.bans {
            bans.rejections.table.reset(key);
        }
    }

    /// Counts a rejection. Returns how long the key is blocked if it was one too many.
    pub(crate) fn count_rejection(&self, key: u64, now: u64) -> Option<Duration> {
        let Bans { ban, rejections } = self.bans.as_ref()?;
        let none_left = |standing: Standing| standing.remaining() == 0;
        let too_many = match rejections.table.charge(&rejections.meter, key, now, 1) {
            Outcome::Admitted { standing, .. } => none_left(standing),
            Outcome::Refused { .. } => true,
        };
        if !too_many {
            return None;
        }
        rejections.table.reset(key);
        let old = self.shard(key).get(&key).copied();
        let old = old.filter(|old| old.remembered_until > now);
        // An operator's block is not shortened by a rejection that was under way.
        if old.is_some_and(|old| old.until > now) {
            return None;
        }
        let before = old.map_or(0, |old| old.earned);
        let length = ban.length(before);
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let until = now.saturating_add(nanos);
        let block = Block {
            until,
            earned: before.saturating_add(1),
            remembered_until: until.saturating_add(nanos),
            by_operator: false,
        };
        self.put(key, now, block);
        Some(length)
    }

    fn put(&self, key: u64, now: u64, block: Block) {
        let mut shard = self.shard(key);
        if !shard.contains_key(&key) && shard.len() >= MOST_BLOCKED / SHARDS {
            let before = shard.len();
            shard.retain(|_, old| old.remembered_until > now);
            // The ban that ends first makes room. What operators have blocked stays, up to twice the number.
            if shard.len() == before {
                let bans = shard.iter().filter(|(_, old)| !old.by_operator);
                let first = bans.min_by_key(|(_, old)| old.until).map(|(key, _)| *key);
                match first {
                    Some(first) => drop(shard.remove(&first)),
                    None if block.by_operator && before < 2 * MOST_BLOCKED / SHARDS => {}
                    None => {
                        tracing::warn!("a key was not blocked: too many keys are blocked already");
                        return;
                    }
                }
            }
            self.entries.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
        if shard.insert(key, block).is_none() {
            self.entries.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn blocks(ban: Option<Ban>) -> Blocks {
        Blocks::new(ban, 100).unwrap()
    }

    #[test]
    fn a_block_ends_by_itself_or_by_order() {
        let blocks = blocks(None);
        assert_eq!(blocks.rest(1, || 0), None);
        blocks.block(1, 0, 10);
        assert_eq!(
            (blocks.rest(1, || 4), blocks.rest(1, || 10), blocks.rest(2, || 4)),
            (Some(6), None, None)
        );
        blocks.block(1, 4, 20);
        assert_eq!(blocks.rest(1, || 10), Some(10));
        blocks.unblock(1);
        assert_eq!(blocks.rest(1, || 10), None);
        assert_eq!(blocks.entries.load(Ordering::Relaxed), 0);
        assert_eq!(blocks.count_rejection(1, 10), None);
    }

    #[test]
    fn bans_grow_and_are_forgotten() {
        let second = Duration::from_secs(1);
        let blocks = blocks(Some(Ban::after(3, second).growing_to(5 * second)));
        let earn = |now| (0..3).filter_map(|_| blocks.count_rejection(7, now)).collect::<Vec<_>>();
        assert_eq!(earn(0), [second]);
        assert_eq!(blocks.rest(7, || 0), Some(SECOND));
        assert_eq!(earn(0), [], "it is blocked");
        assert_eq!(earn(SECOND), [2 * second]);
        assert_eq!(earn(4 * SECOND), [4 * second]);
        assert_eq!(earn(10 * SECOND), [5 * second]);
        // As long without a ban as the last one lasted.
        assert_eq!(earn(21 * SECOND), [second]);
        let rare = (0..9).filter_map(|n| blocks.count_rejection(8, (30 + n) * SECOND)).count();
        assert_eq!(rare, 0, "one a second is not three in a second");
    }

    #[test]
    fn bans_never_take_the_place_of_an_operators_block() {
        let blocks = blocks(Some(Ban::after(1, Duration::from_secs(1))));
        let shard = |n: u64| n * SHARDS as u64;
        blocks.block(shard(0), 0, 10 * SECOND);
        for n in 1..MOST_BLOCKED as u64 / SHARDS as u64 + 100 {
            assert!(blocks.count_rejection(shard(n), n).is_some());
        }
        assert!(blocks.rest(shard(0), || 0).is_some());
        assert_eq!(blocks.rest(shard(1), || 0), None, "the one that ends first has made room");
        assert_eq!(blocks.entries.load(Ordering::Relaxed), MOST_BLOCKED / SHARDS);
    }

    #[test]
    fn a_ban_without_a_number_or_a_length_is_refused() {
        for ban in [
            Ban::after(0, Duration::from_secs(1)),
            Ban::after(1, Duration::ZERO),
            Ban::after(1, Duration::from_secs(1)).starting_with(Duration::ZERO),
        ] {
            assert_eq!(Blocks::new(Some(ban), 1).unwrap_err().setting(), "ban");
        }
    }
}
