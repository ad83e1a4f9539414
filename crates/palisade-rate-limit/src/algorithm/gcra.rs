//! The generic cell rate algorithm, decided by [`governor`] on words of ours: its own stores of many keys grow without
//! end, and its rate limiters hold one quota each.

use std::{
    cell::Cell,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use governor::{
    RateLimiter, clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};
use palisade_core::ConfigError;

use super::{Meter, Outcome};
use crate::Standing;

/// The one word is the theoretical arrival time: when all that came would have come at an even rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gcra {
    /// Nothing fits where either is 0.
    quota: Option<governor::Quota>,
    /// Nanoseconds between two requests at an even rate, rounded up: never faster than the limit.
    interval: u64,
    burst: u32,
    /// What is remembered of an evicted key is counted in this many nanoseconds of its backlog.
    unit: u64,
    epoch: NonZeroU64,
}

impl Gcra {
    /// The same meter for a table in which `before` has counted: what it remembers of evicted keys is in its unit.
    pub(crate) fn comparable_with(self, before: &Self) -> Self {
        Self { unit: before.unit, ..self }
    }
}

/// How many windows a backlog may last, as a power of two, and with a reserve for the rounding of the interval.
pub(crate) fn windows_of_backlog(limit: u32, burst: u32) -> NonZeroU64 {
    let windows = u64::from(burst.div_ceil(limit.max(1))) + 1;
    NonZeroU64::new(windows.next_power_of_two()).unwrap_or(NonZeroU64::MIN)
}

/// The word of one key, which governor takes for a limiter of its own.
struct Word(Cell<u64>);

impl StateStore for Word {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = decide(Some(Nanos::new(self.0.get())))?;
        self.0.set(next.as_u64());
        Ok(outcome)
    }
}

/// A clock whose time is ours, and 0 while governor looks when it started.
struct Hands(Cell<Duration>);

impl clock::Clock for Hands {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

impl Gcra {
    /// # Errors
    ///
    /// If the rate is faster than one a nanosecond, or the burst takes longer to flow off than can be counted.
    pub(crate) fn new(limit: u32, burst: u32, length: NonZeroU64) -> Result<Self, ConfigError> {
        let (Some(per_window), Some(at_once)) = (NonZeroU32::new(limit), NonZeroU32::new(burst))
        else {
            return Ok(Self { quota: None, interval: 0, burst: 0, unit: 0, epoch: length });
        };
        if u64::from(limit) > length.get() {
            let remedy = "choose at most one request a nanosecond, or a longer window";
            return Err(ConfigError::new("limit", limit, remedy));
        }
        let interval = length.get().div_ceil(per_window.get().into());
        if u128::from(interval) * u128::from(burst) > u128::from(u64::MAX / 4) {
            let remedy = "choose a burst that flows off within 146 years";
            return Err(ConfigError::new("burst", burst, remedy));
        }
        let quota = governor::Quota::with_period(Duration::from_nanos(interval))
            .map(|quota| quota.allow_burst(at_once));
        let unit = interval;
        let epoch = length.saturating_mul(windows_of_backlog(limit, burst));
        Ok(Self { quota, interval, burst, unit, epoch })
    }

    /// The same meter for a table in which other limits are counted too: backlogs are compared as times.
    pub(crate) fn among_others(self, length: NonZeroU64) -> Self {
        Self { unit: (length.get() / 1024).max(1), ..self }
    }

    /// How long what was charged takes to flow off.
    fn backlog(arrival: u64, now: u64) -> u64 {
        arrival.saturating_sub(now)
    }

    fn wait(&self, arrival: u64, now: u64, cost: u32) -> Option<u64> {
        let room = self.burst.checked_sub(cost)?;
        // both factors were checked together when the meter was made
        Some(Self::backlog(arrival, now).saturating_sub(u64::from(room) * self.interval))
    }

    fn standing(&self, arrival: u64, now: u64) -> Standing {
        let used = Self::backlog(arrival, now).checked_add(self.interval.saturating_sub(1));
        let used = used.and_then(|used| used.checked_div(self.interval)).unwrap_or(0);
        let remaining = u64::from(self.burst).saturating_sub(used) as u32;
        let more_in = remaining.checked_add(1).and_then(|more| self.wait(arrival, now, more));
        Standing::new(remaining, more_in)
    }

    /// Lets governor decide. The next arrival time, if the request fits.
    fn decided(quota: governor::Quota, arrival: u64, now: u64, cost: NonZeroU32) -> Option<u64> {
        let hands = Hands(Cell::new(Duration::ZERO));
        let limiter = RateLimiter::<_, _, _, NoOpMiddleware<Duration>>::new(
            quota,
            Word(Cell::new(arrival)),
            hands,
        );
        limiter.clock().0.set(Duration::from_nanos(now));
        let fits = matches!(limiter.check_n(cost), Ok(Ok(())));
        fits.then(|| limiter.into_state_store().0.get())
    }
}

impl Meter for Gcra {
    fn words(&self) -> usize {
        1
    }

    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome {
        let arrival = words[0];
        let wait = self.wait(arrival, now, cost);
        let admitted = match (self.quota, NonZeroU32::new(cost)) {
            // governor multiplies before it looks whether a cost fits at all, and the product may not
            _ if wait.is_none() => None,
            (Some(quota), Some(cost)) => Self::decided(quota, arrival, now, cost),
            (None, Some(_)) => None,
            (_, None) => (wait == Some(0)).then_some(arrival),
        };
        if let Some(next) = admitted {
            words[0] = next;
            return Outcome::Admitted { standing: self.standing(next, now), at: now };
        }
        Outcome::Refused { standing: self.standing(arrival, now), wait }
    }

    fn refund(&self, words: &mut [u64], now: u64, charged_at: u64, amount: u32) {
        // Of what was charged, as much may have flowed off as time has passed: to give that back would give back what
        // others have been charged since.
        let charged = u64::from(amount).saturating_mul(self.interval);
        let left = charged.saturating_sub(now.saturating_sub(charged_at));
        words[0] = words[0].saturating_sub(left);
    }

    fn weight(&self, words: &[u64], now: u64) -> u128 {
        Self::backlog(words[0], now).into()
    }

    fn used(&self, words: &[u64], now: u64) -> u32 {
        let backlog = Self::backlog(words[0], now);
        // Without a rate nothing flows off, and a limit that allows nothing needs no count.
        let used = backlog.checked_add(self.unit.saturating_sub(1));
        let used = used.and_then(|backlog| backlog.checked_div(self.unit));
        used.map_or(self.most(), |used| used.try_into().unwrap_or(u32::MAX))
    }

    fn add(&self, words: &mut [u64], at: u64, amount: u32) {
        let more = u64::from(amount).saturating_mul(self.unit);
        words[0] = words[0].max(at).saturating_add(more);
    }

    fn most(&self) -> u32 {
        let longest = u64::from(self.burst) * self.interval;
        longest.checked_div(self.unit).map_or(1, |most| most.try_into().unwrap_or(u32::MAX))
    }

    fn epoch(&self) -> NonZeroU64 {
        self.epoch
    }
}
