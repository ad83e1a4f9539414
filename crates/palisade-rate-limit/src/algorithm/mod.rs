//! The algorithms: pure arithmetic on a few words and a time, nothing of HTTP and nothing of tables.

mod exact_log;
mod gcra;
mod strict;
#[cfg(test)]
mod tests;
pub(crate) mod window;

use std::num::NonZeroU64;

use palisade_core::ConfigError;

use self::{exact_log::ExactLog, gcra::Gcra, strict::Strict, window::Window};
use crate::{Algorithm, Quota, Standing};

/// What a key may still do, and what became of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The request was charged, at this time.
    Admitted { standing: Standing, at: u64 },
    /// Nothing was charged. With the nanoseconds until the request would be admitted, if it ever is.
    Refused { standing: Standing, wait: Option<u64> },
}

impl Outcome {
    /// The outcome with other waits.
    pub(crate) fn with_waits(self, other: impl Fn(u64) -> u64) -> Self {
        match self {
            Self::Admitted { standing, at } => {
                Self::Admitted { standing: standing.with_more_in(other), at }
            }
            Self::Refused { standing, wait } => {
                let wait = wait.map(&other);
                Self::Refused { standing: standing.with_more_in(other), wait }
            }
        }
    }

    /// The outcome of a request that is not charged after all: where the key stands is told by a look that costs nothing.
    pub(crate) fn uncharged(self, standing_now: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Admitted { at, .. } => match standing_now() {
                Self::Admitted { standing, .. } | Self::Refused { standing, .. } => {
                    Self::Admitted { standing, at }
                }
            },
            refused @ Self::Refused { .. } => refused,
        }
    }
}

/// How a key's history is kept in a few words, and what it allows.
///
/// Words of zeros are a key that nobody has seen. Times are nanoseconds on one clock and never before those that the
/// words were written at; whoever keeps the words sees to that.
pub(crate) trait Meter {
    /// How many words a key takes.
    fn words(&self) -> usize;

    /// Charges a request if it fits; a cost of 0 only looks. Words of a request that is refused mean the same as before.
    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome;

    /// Takes back what was charged at `charged_at` and still counts.
    fn refund(&self, words: &mut [u64], now: u64, charged_at: u64, amount: u32);

    /// Returns how much would be forgotten with the key: 0 if nothing.
    fn weight(&self, words: &[u64], now: u64) -> u128;

    /// Returns how many requests of the limit the key has used up at this time, rounded up.
    fn used(&self, words: &[u64], now: u64) -> u32;

    /// Counts `amount` more requests at `at`, whether they fit or not: the history of a key that was evicted.
    fn add(&self, words: &mut [u64], at: u64, amount: u32);

    /// Returns the most that a key can use up at once.
    fn most(&self) -> u32;

    /// Returns the length of an epoch: what is charged in one no longer counts after the next.
    fn epoch(&self) -> NonZeroU64;
}

/// The meter of a quota.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnyMeter {
    Window(Window),
    Strict(Strict),
    Gcra(Gcra),
    ExactLog(ExactLog),
}

impl AnyMeter {
    /// # Errors
    ///
    /// If the quota cannot be counted exactly.
    pub(crate) fn of(quota: &Quota) -> Result<Self, ConfigError> {
        let limit = quota.limit();
        let window = || -> Result<NonZeroU64, ConfigError> { quota.window_nanos() };
        Ok(match quota.algorithm() {
            Algorithm::SlidingWindow => Self::Window(Window::sliding(limit, window()?)),
            Algorithm::FixedWindow | Algorithm::Calendar => {
                Self::Window(Window::fixed(limit, window()?))
            }
            Algorithm::Strict => Self::Strict(Strict::new(limit, window()?)?),
            Algorithm::Gcra { burst } => Self::Gcra(Gcra::new(limit, burst, window()?)?),
            Algorithm::ExactLog => Self::ExactLog(ExactLog::new(limit, window()?)?),
        })
    }
}

impl AnyMeter {
    /// The meter of a quota whose table also counts quotas of other limits.
    ///
    /// # Errors
    ///
    /// If the quota cannot be counted exactly.
    pub(crate) fn among_others(quota: &Quota) -> Result<Self, ConfigError> {
        Ok(match Self::of(quota)? {
            Self::Gcra(gcra) => Self::Gcra(gcra.among_others(quota.window_nanos()?)),
            meter => meter,
        })
    }
}

impl AnyMeter {
    /// The same meter for a table in which another one has counted before.
    pub(crate) fn comparable_with(self, before: &Self) -> Self {
        match (self, before) {
            (Self::Gcra(gcra), Self::Gcra(before)) => Self::Gcra(gcra.comparable_with(before)),
            (meter, _) => meter,
        }
    }
}

macro_rules! each {
    ($self:ident, $meter:ident => $do:expr) => {
        match $self {
            AnyMeter::Window($meter) => $do,
            AnyMeter::Strict($meter) => $do,
            AnyMeter::Gcra($meter) => $do,
            AnyMeter::ExactLog($meter) => $do,
        }
    };
}

impl Meter for AnyMeter {
    fn words(&self) -> usize {
        each!(self, meter => Meter::words(meter))
    }

    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome {
        each!(self, meter => Meter::charge(meter, words, now, cost))
    }

    fn refund(&self, words: &mut [u64], now: u64, charged_at: u64, amount: u32) {
        each!(self, meter => Meter::refund(meter, words, now, charged_at, amount));
    }

    fn weight(&self, words: &[u64], now: u64) -> u128 {
        each!(self, meter => Meter::weight(meter, words, now))
    }

    fn used(&self, words: &[u64], now: u64) -> u32 {
        each!(self, meter => Meter::used(meter, words, now))
    }

    fn add(&self, words: &mut [u64], at: u64, amount: u32) {
        each!(self, meter => Meter::add(meter, words, at, amount));
    }

    fn most(&self) -> u32 {
        each!(self, meter => Meter::most(meter))
    }

    fn epoch(&self) -> NonZeroU64 {
        each!(self, meter => Meter::epoch(meter))
    }
}
