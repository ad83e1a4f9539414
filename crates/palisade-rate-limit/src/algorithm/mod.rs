//! The algorithms: arithmetic on a few words and a time, without HTTP and tables.

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

/// The outcome of an attempt to charge a key, with the key's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The request was charged at this time.
    Admitted { standing: Standing, at: u64 },
    /// Nothing was charged. `wait` is the time in nanoseconds until the request would be admitted, or `None` if it never is.
    Refused { standing: Standing, wait: Option<u64> },
}

impl Outcome {
    /// Returns the outcome with other waits.
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

    /// Returns the outcome with the standing that the key has without the charge.
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

/// An algorithm, which stores the history of a key in a few words.
///
/// The words of a new key are zeros. Times are nanoseconds on one clock. The caller must not pass a time before that of an
/// earlier call with the same words.
pub(crate) trait Meter {
    /// Returns the number of words of a key.
    fn words(&self) -> usize;

    /// Charges a request if it fits. A cost of 0 charges nothing. A rejected request does not change the meaning of the words.
    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome;

    /// Returns a charge of the time `charged_at`, as far as it still counts.
    fn refund(&self, words: &mut [u64], now: u64, charged_at: u64, amount: u32);

    /// Returns how much would be lost by evicting the key. 0 if nothing.
    fn weight(&self, words: &[u64], now: u64) -> u128;

    /// Returns how many requests of the limit the key has used at this time, rounded up.
    fn used(&self, words: &[u64], now: u64) -> u32;

    /// Adds `amount` requests at the time `at`, also if they exceed the limit: the history of an evicted key.
    fn add(&self, words: &mut [u64], at: u64, amount: u32);

    /// Returns the maximum that a key can use at once.
    fn most(&self) -> u32;

    /// Returns the length of an epoch. A charge of one epoch no longer counts after the next.
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
    /// If the quota is not valid.
    pub(crate) fn new(quota: &Quota) -> Result<Self, ConfigError> {
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

    /// Creates the meter of a quota whose table also counts quotas with other limits.
    ///
    /// # Errors
    ///
    /// If the quota is not valid.
    pub(crate) fn for_shared_table(quota: &Quota) -> Result<Self, ConfigError> {
        Ok(match Self::new(quota)? {
            Self::Gcra(gcra) => Self::Gcra(gcra.among_others(quota.window_nanos()?)),
            meter => meter,
        })
    }

    /// Returns the meter for a table in which `before` has counted.
    pub(crate) fn comparable_with(self, before: &Self) -> Self {
        match (self, before) {
            (Self::Gcra(gcra), Self::Gcra(before)) => Self::Gcra(gcra.comparable_with(before)),
            (meter, _) => meter,
        }
    }
}

macro_rules! with_meter {
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
        with_meter!(self, meter => Meter::words(meter))
    }

    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome {
        with_meter!(self, meter => Meter::charge(meter, words, now, cost))
    }

    fn refund(&self, words: &mut [u64], now: u64, charged_at: u64, amount: u32) {
        with_meter!(self, meter => Meter::refund(meter, words, now, charged_at, amount));
    }

    fn weight(&self, words: &[u64], now: u64) -> u128 {
        with_meter!(self, meter => Meter::weight(meter, words, now))
    }

    fn used(&self, words: &[u64], now: u64) -> u32 {
        with_meter!(self, meter => Meter::used(meter, words, now))
    }

    fn add(&self, words: &mut [u64], at: u64, amount: u32) {
        with_meter!(self, meter => Meter::add(meter, words, at, amount));
    }

    fn most(&self) -> u32 {
        with_meter!(self, meter => Meter::most(meter))
    }

    fn epoch(&self) -> NonZeroU64 {
        with_meter!(self, meter => Meter::epoch(meter))
    }
}
