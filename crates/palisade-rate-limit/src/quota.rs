use std::{borrow::Cow, num::NonZeroU64, sync::Arc, time::Duration};

use palisade_core::ConfigError;

use crate::calendar::{self, Calendar};

/// The longest window in nanoseconds, about 146 years: the sum of two windows and the process time fits into 64 bits.
const LONGEST: u64 = u64::MAX / 4;

/// A number of requests in a window of time, and the algorithm that counts them.
///
/// ```
/// use std::time::Duration;
/// use palisade_rate_limit::Quota;
///
/// // A hundred requests a minute.
/// let quota = Quota::per(100, Duration::from_secs(60));
/// assert_eq!(quota.limit(), 100);
/// assert_eq!(quota.window(), Duration::from_secs(60));
///
/// // Five attempts in a quarter of an hour, counted exactly.
/// let login = Quota::per(5, Duration::from_secs(15 * 60)).exact_log().named("login");
/// assert_eq!(login.name(), "login");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u32,
    window: Duration,
    algorithm: Algorithm,
    calendar: Option<Arc<Calendar>>,
    name: Cow<'static, str>,
}

/// The algorithm of a [`Quota`]. The guide compares what each admits of the same traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Two counts: of the current window and of the previous one, weighted by the part of it that is within the last window's
    /// length, rounded down. Admits at most twice the limit in any period of the window's length, and the limit on average. A
    /// client that is paced below the limit is never rejected.
    SlidingWindow,
    /// Eight sub-windows, the oldest of which is counted in full. Admits at most the limit in any period of the window's length.
    Strict,
    /// The generic cell rate algorithm: an even rate, and `burst` requests at once. Admits at most the limit plus `burst` in any
    /// period of the window's length.
    Gcra {
        /// The number of requests that may arrive at once.
        burst: u32,
    },
    /// One count, which is reset at the beginning of each window. Admits at most twice the limit in any period of the window's
    /// length.
    FixedWindow,
    /// One count, which is reset at the beginning of each day or month of a time zone. Admits at most twice the limit in any
    /// period of the window's length. Set by `Quota::per_day` and `Quota::per_month` (feature `calendar`).
    Calendar,
    /// The time of each request. Exact; takes 8 bytes for each request of the limit, for each key.
    ExactLog,
}

/// The default name.
const UNNAMED: Cow<'static, str> = Cow::Borrowed("default");

impl Quota {
    /// Allows `limit` requests in each `window`, counted in a [sliding window](Algorithm::SlidingWindow): the limit on
    /// average, and at most twice the limit in any period of the window's length. Use [`strict`](Self::strict) or
    /// [`exact_log`](Self::exact_log) if no period may contain more than the limit.
    ///
    /// A limit of 0 rejects every request. A window of 0 or of more than 146 years is an error when the limit is
    /// [built](crate::RateLimitBuilder::build).
    pub const fn per(limit: u32, window: Duration) -> Self {
        Self { limit, window, algorithm: Algorithm::SlidingWindow, calendar: None, name: UNNAMED }
    }

    /// Allows `limit` requests on each day of a time zone, from midnight to midnight, also on days of 23 or 25 hours. If the clocks
    /// skip midnight, the day begins when they go forward.
    ///
    /// The zone is a name of the IANA time zone database, such as `Europe/Berlin`. The database is read from the system, or from
    /// a copy in the binary if the system has none. The limit reads the date from [`unix`](palisade_core::Clock::unix) of its
    /// clock, a shared store from its own clock.
    ///
    /// # Errors
    ///
    /// If the time zone does not exist.
    ///
    /// ```
    /// # use palisade_rate_limit::Quota;
    /// let budget = Quota::per_day(100_000, "America/New_York")?.named("tokens");
    /// assert_eq!(budget.time_zone(), Some("America/New_York"));
    /// assert_eq!(Quota::per_day(100_000, "Mars/Olympus").unwrap_err().setting(), "time_zone");
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    #[cfg(feature = "calendar")]
    pub fn per_day(limit: u32, time_zone: &str) -> Result<Self, ConfigError> {
        Self::per_period(limit, calendar::Period::Day, time_zone)
    }

    /// Allows `limit` requests in each month of a time zone, from midnight on the first. See [`per_day`](Self::per_day).
    ///
    /// # Errors
    ///
    /// If the time zone does not exist.
    #[cfg(feature = "calendar")]
    pub fn per_month(limit: u32, time_zone: &str) -> Result<Self, ConfigError> {
        Self::per_period(limit, calendar::Period::Month, time_zone)
    }

    #[cfg(feature = "calendar")]
    fn per_period(
        limit: u32,
        period: calendar::Period,
        time_zone: &str,
    ) -> Result<Self, ConfigError> {
        let calendar = Some(Arc::new(Calendar::new(period, time_zone)?));
        let days = match period {
            calendar::Period::Day => 1,
            calendar::Period::Month => 31,
        };
        let window = Duration::from_secs(days * 86_400);
        Ok(Self { limit, window, algorithm: Algorithm::Calendar, calendar, name: UNNAMED })
    }

    /// Counts in a [sliding window](Algorithm::SlidingWindow). This is the default.
    #[must_use]
    pub const fn sliding_window(self) -> Self {
        self.by(Algorithm::SlidingWindow)
    }

    /// Counts in sub-windows: no period of the window's length contains more than the limit. See [`Algorithm::Strict`].
    #[must_use]
    pub const fn strict(self) -> Self {
        self.by(Algorithm::Strict)
    }

    /// Admits requests at an even rate, with the limit as the burst. See [`Algorithm::Gcra`].
    #[must_use]
    pub const fn gcra(self) -> Self {
        let burst = self.limit;
        self.by(Algorithm::Gcra { burst })
    }

    /// Admits requests at an even rate, at most `burst` of them at once. See [`Algorithm::Gcra`].
    #[must_use]
    pub const fn gcra_with_burst(self, burst: u32) -> Self {
        self.by(Algorithm::Gcra { burst })
    }

    /// Counts each window from zero. See [`Algorithm::FixedWindow`].
    #[must_use]
    pub const fn fixed_window(self) -> Self {
        self.by(Algorithm::FixedWindow)
    }

    /// Stores the time of each request. For small limits, such as login attempts. See [`Algorithm::ExactLog`].
    #[must_use]
    pub const fn exact_log(self) -> Self {
        self.by(Algorithm::ExactLog)
    }

    const fn by(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets the name of the quota in response fields and in the log. Default: `default`. At most 64 printable ASCII characters
    /// without quotes and backslashes, a string of RFC 9651, section 3.3.3.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Returns the number of requests.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns the length of the window: 24 hours for days and 31 days for months of the calendar, although their actual length
    /// depends on the date.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// Returns the algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the time zone of a calendar quota, such as `Europe/Berlin`. `None` for other quotas.
    pub fn time_zone(&self) -> Option<&str> {
        self.calendar.as_ref().map(|calendar| calendar.zone())
    }

    /// Returns the beginnings of four windows of a [calendar quota](Algorithm::Calendar), since the Unix epoch: of the previous,
    /// the current and the next two. `None` for other quotas. A [`Store`](crate::Store) chooses among them by its own clock.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::Quota;
    /// assert_eq!(Quota::per(5, Duration::from_secs(60)).window_starts(Duration::ZERO), None);
    /// ```
    pub fn window_starts(&self, unix: Duration) -> Option<[Duration; 4]> {
        self.calendar.as_ref().map(|calendar| calendar.starts(unix))
    }

    pub(crate) fn calendar(&self) -> Option<&Arc<Calendar>> {
        self.calendar.as_ref()
    }

    /// Returns the quota with this fraction of its limit, rounded up, so that it does not become 0.
    #[cfg(feature = "store")]
    pub(crate) fn fraction(&self, fraction: f64) -> Self {
        let part = |limit: u32| (f64::from(limit) * fraction).ceil() as u32;
        let algorithm = match self.algorithm {
            Algorithm::Gcra { burst } => Algorithm::Gcra { burst: part(burst) },
            algorithm => algorithm,
        };
        Self { limit: part(self.limit), algorithm, ..self.clone() }
    }

    /// Returns false if the quota has the default name.
    pub(crate) fn has_name(&self) -> bool {
        self.name != UNNAMED
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the window in nanoseconds on the clock of the tables.
    ///
    /// # Errors
    ///
    /// If the window is not valid for the algorithm.
    pub(crate) fn window_nanos(&self) -> Result<NonZeroU64, ConfigError> {
        let window = match self.calendar {
            Some(_) => calendar::LENGTH,
            None => self.window,
        };
        if self.calendar.is_some() != (self.algorithm == Algorithm::Calendar) {
            let remedy = "days and months have their own algorithm: call per_day or per_month without setting another, or \
                          use per(limit, window)";
            let algorithm = format_args!("{:?}", self.algorithm);
            return Err(ConfigError::new("algorithm", algorithm, remedy));
        }
        let refuse = |remedy| ConfigError::new("window", format_args!("{window:?}"), remedy);
        let nanos = u64::try_from(window.as_nanos())
            .ok()
            .filter(|nanos| *nanos <= LONGEST)
            .ok_or_else(|| refuse("choose a window of at most 146 years"))?;
        NonZeroU64::new(nanos)
            .ok_or_else(|| refuse("choose a window longer than 0, such as 60 seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(window: Duration) -> Result<u64, String> {
        Quota::per(1, window).window_nanos().map(NonZeroU64::get).map_err(|error| error.to_string())
    }

    #[test]
    fn window_of_zero_is_an_error_with_the_remedy() {
        let error = nanos(Duration::ZERO).unwrap_err();
        assert!(error.starts_with("window `0ns` is not valid: choose a window longer"), "{error}");
    }

    #[test]
    fn window_over_146_years_is_an_error() {
        assert_eq!(nanos(Duration::from_nanos(LONGEST)), Ok(LONGEST));
        assert!(nanos(Duration::from_nanos(LONGEST + 1)).is_err());
        assert!(nanos(Duration::MAX).is_err());
        assert_eq!(nanos(Duration::from_nanos(1)), Ok(1));
    }
}
