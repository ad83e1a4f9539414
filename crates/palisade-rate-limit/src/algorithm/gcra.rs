//! The generic cell rate algorithm, decided by [`governor`] on the words of our tables. The keyed stores of governor grow without
//! bound, and each of its rate limiters has a single quota.

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

use super::{meter::Meter, outcome::Outcome};
use crate::Standing;

/// The single word of a key is the theoretical arrival time: when its requests would have arrived at an even rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gcra {
    /// `None` if the limit or the burst is 0, and nothing fits.
    quota: Option<governor::Quota>,
    /// Nanoseconds between two requests, rounded up so that the rate does not exceed the limit.
    interval: u64,
    burst: u32,
    /// The unit of the counts of evicted keys, in nanoseconds of backlog.
    unit: u64,
    epoch: NonZeroU64,
}

impl Gcra {
    /// Returns the meter for a table in which `before` has counted. The counts of evicted keys keep their unit.
    pub(crate) fn comparable_with(self, before: &Self) -> Self {
        Self { unit: before.unit, ..self }
    }
}

/// Returns how many windows a backlog lasts at most, rounded up to a power of two with a reserve for the rounded interval.
pub(crate) fn windows_of_backlog(limit: u32, burst: u32) -> NonZeroU64 {
    let windows = u64::from(burst.div_ceil(limit.max(1))) + 1;
    NonZeroU64::new(windows.next_power_of_two()).unwrap_or(NonZeroU64::MIN)
}

/// The theoretical arrival time of one key, as the state of a governor limiter.
struct ArrivalTime(Cell<u64>);

impl StateStore for ArrivalTime {
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

/// A clock that shows the given time. It shows 0 when governor reads its start time.
struct FixedTime(Cell<Duration>);

impl clock::Clock for FixedTime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

impl Gcra {
    /// # Errors
    ///
    /// If the rate exceeds one request a nanosecond, or the burst lasts longer than 146 years.
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
            let remedy = "choose a burst that lasts at most 146 years at the rate of the limit";
            return Err(ConfigError::new("burst", burst, remedy));
        }
        let quota = governor::Quota::with_period(Duration::from_nanos(interval))
            .map(|quota| quota.allow_burst(at_once));
        let unit = interval;
        let epoch = length.saturating_mul(windows_of_backlog(limit, burst));
        Ok(Self { quota, interval, burst, unit, epoch })
    }

    /// Returns the meter for a table that also counts other limits. Backlogs are stored as times there.
    pub(crate) fn among_others(self, length: NonZeroU64) -> Self {
        Self { unit: (length.get() / 1024).max(1), ..self }
    }

    /// Returns the time until the backlog is empty.
    fn backlog(arrival: u64, now: u64) -> u64 {
        arrival.saturating_sub(now)
    }

    fn wait(&self, arrival: u64, now: u64, cost: u32) -> Option<u64> {
        let room = self.burst.checked_sub(cost)?;
        // The product cannot overflow: `new` has checked burst × interval.
        Some(Self::backlog(arrival, now).saturating_sub(u64::from(room) * self.interval))
    }

    fn standing(&self, arrival: u64, now: u64) -> Standing {
        let used = Self::backlog(arrival, now).checked_add(self.interval.saturating_sub(1));
        let used = used.and_then(|used| used.checked_div(self.interval)).unwrap_or(0);
        let remaining = u64::from(self.burst).saturating_sub(used) as u32;
        let more_in = remaining.checked_add(1).and_then(|more| self.wait(arrival, now, more));
        Standing::new(remaining, more_in)
    }

    /// Lets governor decide. Returns the next arrival time if the request fits.
    fn decided(quota: governor::Quota, arrival: u64, now: u64, cost: NonZeroU32) -> Option<u64> {
        let clock = FixedTime(Cell::new(Duration::ZERO));
        let limiter = RateLimiter::<_, _, _, NoOpMiddleware<Duration>>::new(
            quota,
            ArrivalTime(Cell::new(arrival)),
            clock,
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
            // governor multiplies before it checks whether a cost fits at all, and the product may overflow.
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
        // The part of the charge that the elapsed time has already cleared must not be returned again.
        let charged = u64::from(amount).saturating_mul(self.interval);
        let left = charged.saturating_sub(now.saturating_sub(charged_at));
        words[0] = words[0].saturating_sub(left);
    }

    fn weight(&self, words: &[u64], now: u64) -> u128 {
        Self::backlog(words[0], now).into()
    }

    fn used(&self, words: &[u64], now: u64) -> u32 {
        let backlog = Self::backlog(words[0], now);
        // Without a rate the backlog never empties, and a limit of 0 needs no count.
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
