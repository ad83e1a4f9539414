//! Windows of the calendar, which begin at midnight or on the first of a month in a time zone.
//!
//! The tables count in windows of equal length. So the windows of a calendar are numbered, and mapped to windows of the length
//! [`LENGTH`] on a clock for the tables. [`TableTime`] translates waits back.

#[cfg(feature = "calendar")]
mod zone;

/// Without the feature no quota has a time zone.
#[cfg(not(feature = "calendar"))]
mod zone {
    #[derive(Debug)]
    pub(super) enum Zone {}

    impl Zone {
        pub(super) fn name(&self) -> &str {
            match *self {}
        }

        pub(super) fn window(&self, _: super::Period, _: u64) -> super::Window {
            match *self {}
        }
    }
}

mod window;

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use arc_swap::ArcSwapOption;

pub(crate) use self::window::Period;
use self::{window::Window, zone::Zone};
use crate::algorithm::outcome::Outcome;

/// The length of all windows on the clock of the tables.
pub(crate) const LENGTH: Duration = Duration::from_secs(86_400);
const NANOS: u64 = LENGTH.as_nanos() as u64;

/// Days or months in a time zone.
#[derive(Debug)]
pub(crate) struct Calendar {
    period: Period,
    zone: Zone,
    /// The last window: a request in the same window needs no calendar arithmetic.
    last: ArcSwapOption<Window>,
}

/// A reading of the clock of the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableTime {
    pub(crate) at: u64,
    /// The time to the end of the window, on the clock of the tables and on the wall clock.
    ends_in: Option<(u64, u64)>,
}

impl TableTime {
    /// Returns the time of a quota whose windows have equal lengths.
    pub(crate) fn monotonic(at: u64) -> Self {
        Self { at, ends_in: None }
    }

    /// Returns the outcome with waits by the wall clock.
    pub(crate) fn translate(self, outcome: Outcome) -> Outcome {
        match self.ends_in {
            None => outcome,
            Some((in_table, by_wall_clock)) => outcome.with_waits(|wait| match wait {
                0 => 0,
                wait => wait.saturating_sub(in_table).saturating_add(by_wall_clock),
            }),
        }
    }
}

impl Calendar {
    #[cfg(feature = "calendar")]
    pub(crate) fn new(period: Period, zone: &str) -> Result<Self, palisade_core::ConfigError> {
        Ok(Self { period, zone: Zone::new(zone)?, last: ArcSwapOption::empty() })
    }

    /// Returns the name of the time zone.
    pub(crate) fn zone(&self) -> &str {
        self.zone.name()
    }

    fn window(&self, unix: u64) -> Window {
        if let Some(last) = &*self.last.load()
            && (last.start..last.end).contains(&unix)
        {
            return **last;
        }
        let window = self.zone.window(self.period, unix);
        self.last.store(Some(window.into()));
        window
    }

    /// Returns the time on the clock of the tables.
    pub(crate) fn table_time(&self, unix: Duration) -> TableTime {
        let unix = nanos(unix);
        let window = self.window(unix);
        let elapsed = unix.saturating_sub(window.start).min(NANOS - 1);
        TableTime {
            at: window.number.saturating_mul(NANOS).saturating_add(elapsed),
            ends_in: Some((NANOS - elapsed, window.end.saturating_sub(unix))),
        }
    }

    /// Returns the length of the window that contains this time.
    pub(crate) fn length(&self, unix: Duration) -> Duration {
        let window = self.window(nanos(unix));
        Duration::from_nanos(window.end - window.start)
    }

    /// Returns the beginnings of four windows: of the previous, the current and the next two.
    pub(crate) fn starts(&self, unix: Duration) -> [Duration; 4] {
        let window = self.window(nanos(unix));
        let before = self.zone.window(self.period, window.start.saturating_sub(1));
        let next = self.zone.window(self.period, window.end);
        [before.start, window.start, window.end, next.end].map(Duration::from_nanos)
    }
}

fn nanos(unix: Duration) -> u64 {
    // Saturates in the year 2554.
    u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX)
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.period == other.period && self.zone() == other.zone()
    }
}

impl Eq for Calendar {}

impl Hash for Calendar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.period.hash(state);
        self.zone().hash(state);
    }
}
