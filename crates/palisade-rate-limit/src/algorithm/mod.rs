//! The algorithms: arithmetic on a few words and a time, without HTTP and tables.

mod exact_log;
mod gcra;
pub(crate) mod meter;
pub(crate) mod outcome;
mod strict;
#[cfg(test)]
mod tests;
pub(crate) mod window;

use std::num::NonZeroU64;

use palisade_core::ConfigError;

use self::{exact_log::ExactLog, gcra::Gcra, strict::Strict, window::Window};
pub(crate) use self::{meter::Meter, outcome::Outcome};
use crate::{Algorithm, Quota};

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
