//! Keys that are blocked, by an operator or after many rejections.

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

/// Blocks keys that continue to send requests after many rejections. See [`RateLimitBuilder::ban`](crate::RateLimitBuilder::ban).
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
    /// Blocks a key after this many rejections within a window. The first block lasts as long as the window, and each further
    /// one twice as long as the one before, up to a day. After a time without a ban as long as the last block, the next block
    /// is a first one again.
    pub const fn after(rejections: u32, within: Duration) -> Self {
        Self { rejections, within, first: within, longest: Duration::from_secs(86_400) }
    }

    /// Sets the length of the first block. Default: the window of the rejections.
    #[must_use]
    pub const fn starting_with(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// Sets the maximum length of a block. Default: a day.
    #[must_use]
    pub const fn growing_to(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Returns the number of rejections within the [window](Self::window) that block a key.
    pub const fn rejections(&self) -> u32 {
        self.rejections
    }

    /// Returns the window of the rejections.
    pub const fn window(&self) -> Duration {
        self.within
    }

    /// Returns the length of the first block.
    pub const fn first(&self) -> Duration {
        self.first
    }

    /// Returns the maximum length of a block, at least the length of the first.
    pub fn longest(&self) -> Duration {
        self.longest.max(self.first)
    }

    /// Returns the length of the next block after `before` blocks.
    fn length(self, before: u32) -> Duration {
        let factor = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest())
    }
}

/// The maximum number of keys that are blocked, or stored because of an earlier ban.
const MOST_BLOCKED: usize = 100_000;
const SHARDS: usize = 16;

/// The keys that are blocked on this machine.
#[derive(Debug)]
pub(crate) struct Blocks {
    shards: Box<[Mutex<HashMap<u64, Block>>]>,
    /// The number of entries of all shards. A decision reads only this while it is 0.
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
    /// The number of bans, which is reset at `remembered_until`.
    earned: u32,
    remembered_until: u64,
    by_operator: bool,
}

impl Blocks {
    /// # Errors
    ///
    /// If the rejections, the window or the length of a ban are 0.
    pub(crate) fn new(ban: Option<Ban>, keys: usize) -> Result<Self, ConfigError> {
        let bans = match ban {
            None => None,
            Some(ban) if ban.rejections == 0 || ban.within.is_zero() || ban.first.is_zero() => {
                let remedy = "choose at least one rejection, and a window and a first block longer than 0, \
                              such as Ban::after(50, Duration::from_secs(60))";
                return Err(ConfigError::new("ban", format_args!("{ban:?}"), remedy));
            }
            Some(ban) => {
                let quota = Quota::per(ban.rejections, ban.within).fixed_window();
                Some(Bans { ban, rejections: Counter::new(&quota, keys)? })
            }
        };
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Ok(Self { shards, entries: AtomicUsize::new(0), bans })
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Block>> {
        // No holder of the lock panics between two writes.
        let shard = &self.shards[key as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how long a key is still blocked, in nanoseconds. `None` if it is not blocked.
    #[inline]
    pub(crate) fn blocked_for(&self, key: u64, now: impl FnOnce() -> u64) -> Option<u64> {
        if self.entries.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let until = self.shard(key).get(&key)?.until;
        until.checked_sub(now()).filter(|rest| *rest > 0)
    }

    /// Blocks a key until this time. Replaces an earlier block.
    pub(crate) fn block(&self, key: u64, now: u64, until: u64) {
        let earned = self.shard(key).get(&key).map_or(0, |old| old.earned);
        self.put(key, now, Block { until, earned, remembered_until: until, by_operator: true });
    }

    /// Ends a block, and removes the record of earlier ones.
    pub(crate) fn unblock(&self, key: u64) {
        if self.shard(key).remove(&key).is_some() {
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(bans) = &self.bans {
            bans.rejections.table.reset(key);
        }
    }

    /// Counts a rejection. Returns the length of the ban if it causes one.
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
        // A concurrent rejection must not shorten an operator's block.
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
            // Evicts the ban that ends first. Blocks by operators are kept, up to twice the number.
            if shard.len() == before {
                let bans = shard.iter().filter(|(_, old)| !old.by_operator);
                let first = bans.min_by_key(|(_, old)| old.until).map(|(key, _)| *key);
                match first {
                    Some(first) => drop(shard.remove(&first)),
                    None if block.by_operator && before < 2 * MOST_BLOCKED / SHARDS => {}
                    None => {
                        tracing::warn!("a key was not blocked because too many keys are blocked");
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
    fn block_expires_or_is_removed() {
        let blocks = blocks(None);
        assert_eq!(blocks.blocked_for(1, || 0), None);
        blocks.block(1, 0, 10);
        assert_eq!(
            (
                blocks.blocked_for(1, || 4),
                blocks.blocked_for(1, || 10),
                blocks.blocked_for(2, || 4)
            ),
            (Some(6), None, None)
        );
        blocks.block(1, 4, 20);
        assert_eq!(blocks.blocked_for(1, || 10), Some(10));
        blocks.unblock(1);
        assert_eq!(blocks.blocked_for(1, || 10), None);
        assert_eq!(blocks.entries.load(Ordering::Relaxed), 0);
        assert_eq!(blocks.count_rejection(1, 10), None);
    }

    #[test]
    fn bans_grow_and_expire() {
        let second = Duration::from_secs(1);
        let blocks = blocks(Some(Ban::after(3, second).growing_to(5 * second)));
        let earn = |now| (0..3).filter_map(|_| blocks.count_rejection(7, now)).collect::<Vec<_>>();
        assert_eq!(earn(0), [second]);
        assert_eq!(blocks.blocked_for(7, || 0), Some(SECOND));
        assert_eq!(earn(0), [], "the key is blocked");
        assert_eq!(earn(SECOND), [2 * second]);
        assert_eq!(earn(4 * SECOND), [4 * second]);
        assert_eq!(earn(10 * SECOND), [5 * second]);
        // The time since the last ban is as long as that ban.
        assert_eq!(earn(21 * SECOND), [second]);
        let rare = (0..9).filter_map(|n| blocks.count_rejection(8, (30 + n) * SECOND)).count();
        assert_eq!(rare, 0, "one rejection a second is below three in a second");
    }

    #[test]
    fn bans_never_evict_blocks_of_operators() {
        let blocks = blocks(Some(Ban::after(1, Duration::from_secs(1))));
        let shard = |n: u64| n * SHARDS as u64;
        blocks.block(shard(0), 0, 10 * SECOND);
        for n in 1..MOST_BLOCKED as u64 / SHARDS as u64 + 100 {
            assert!(blocks.count_rejection(shard(n), n).is_some());
        }
        assert!(blocks.blocked_for(shard(0), || 0).is_some());
        assert_eq!(blocks.blocked_for(shard(1), || 0), None, "the ban that ends first is evicted");
        assert_eq!(blocks.entries.load(Ordering::Relaxed), MOST_BLOCKED / SHARDS);
    }

    #[test]
    fn ban_with_zero_rejections_or_duration_is_a_config_error() {
        for ban in [
            Ban::after(0, Duration::from_secs(1)),
            Ban::after(1, Duration::ZERO),
            Ban::after(1, Duration::from_secs(1)).starting_with(Duration::ZERO),
        ] {
            assert_eq!(Blocks::new(Some(ban), 1).unwrap_err().setting(), "ban");
        }
    }
}
