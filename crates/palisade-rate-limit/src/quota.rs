use std::{borrow::Cow, num::NonZeroU64, sync::Arc, time::Duration};

use palisade_core::ConfigError;

use crate::calendar::{self, Calendar};

/// The longest window in nanoseconds, about 146 years: two of them and the time since the process started still add
/// up within 64 bits.
const LONGEST: u64 = u64::MAX / 4;

/// How many requests a key may make in a window of time, and by which algorithm they are counted.
///
/// ```
/// use std::time::Duration;
/// use palisade_rate_limit::Quota;
///
/// // a hundred requests a minute
/// let quota = Quota::per(100, Duration::from_secs(60));
/// assert_eq!(quota.limit(), 100);
/// assert_eq!(quota.window(), Duration::from_secs(60));
///
/// // five attempts in a quarter of an hour, each remembered by itself
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

/// How a [`Quota`] counts. What each admits on the same traffic is shown in the guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Two counts: that of the current window, and the part of the previous window's count that the last window's length
    /// still covers, rounded down. At most twice the limit in any window's length, and the limit on average. A client
    /// that is paced below the limit is never rejected.
    SlidingWindow,
    /// Eight sub-windows, the oldest counted whole: never more than the limit in any window's length.
    Strict,
    /// The generic cell rate algorithm: requests flow off at an even rate, and `burst` of them may come at once. At most
    /// `burst` and the limit together in any window's length.
    Gcra {
        /// How many requests may come at once.
        burst: u32,
    },
    /// One count, which starts again at nothing with each window. At most twice the limit in any window's length.
    FixedWindow,
    /// One count, which starts at zero with each day or month of a time zone. At most twice the limit in any window's
    /// length. Chosen by `Quota::per_day` and `Quota::per_month` (feature `calendar`).
    Calendar,
    /// The time of each request. Exact, in 8 bytes for each request of the limit and key.
    ExactLog,
}

/// The name of a quota that was not given one.
const UNNAMED: Cow<'static, str> = Cow::Borrowed("default");

impl Quota {
    /// Allows `limit` requests in each `window`, counted in a [sliding window](Algorithm::SlidingWindow): the limit on
    /// average, and at most twice the limit in any period of the window's length. Use [`strict`](Self::strict) or
    /// [`exact_log`](Self::exact_log) if no period may contain more than the limit.
    ///
    /// A limit of 0 refuses every request; it never means "unlimited".
    ///
    /// A window of no length, or of more than 146 years, is an error when the limit is
    /// [built](crate::RateLimitBuilder::build).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::Quota;
    /// const LOGIN: Quota = Quota::per(5, Duration::from_secs(15 * 60));
    /// ```
    pub const fn per(limit: u32, window: Duration) -> Self {
        Self { limit, window, algorithm: Algorithm::SlidingWindow, calendar: None, name: UNNAMED }
    }

    /// Allows `limit` requests on each day of a time zone: from midnight to midnight, also on the days of 23 and 25 hours
    /// on which the clocks change. Where midnight itself is skipped, the day begins when the clocks go forward.
    ///
    /// The zone is a name of the IANA time zone database, such as `Europe/Berlin`, which is read from the system, and from
    /// a copy in the binary if the system has none. The limit takes the date from [`unix`](palisade_core::Clock::unix) of its
    /// clock, a shared store from its own clock.
    ///
    /// # Errors
    ///
    /// If there is no such time zone.
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
    /// If there is no such time zone.
    ///
    /// ```
    /// # use palisade_rate_limit::Quota;
    /// let budget = Quota::per_month(3_000_000, "UTC")?.named("monthly");
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
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

    /// Counts in a [sliding window](Algorithm::SlidingWindow), as [`per`](Self::per) does by itself.
    #[must_use]
    pub const fn sliding_window(self) -> Self {
        self.by(Algorithm::SlidingWindow)
    }

    /// Counts in sub-windows so that no window's length ever holds more than the limit. See [`Algorithm::Strict`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::Quota;
    /// const TRANSFERS: Quota = Quota::per(10, Duration::from_secs(60)).strict();
    /// ```
    #[must_use]
    pub const fn strict(self) -> Self {
        self.by(Algorithm::Strict)
    }

    /// Lets requests flow at an even rate, with the whole limit as the burst. See [`Algorithm::Gcra`].
    #[must_use]
    pub const fn gcra(self) -> Self {
        let burst = self.limit;
        self.by(Algorithm::Gcra { burst })
    }

    /// Lets requests flow at an even rate, at most `burst` of them at once. See [`Algorithm::Gcra`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::Quota;
    /// // one every 600 ms, and ten at once after a pause
    /// const SEARCH: Quota = Quota::per(100, Duration::from_secs(60)).gcra_with_burst(10);
    /// ```
    #[must_use]
    pub const fn gcra_with_burst(self, burst: u32) -> Self {
        self.by(Algorithm::Gcra { burst })
    }

    /// Counts from nothing in each window. See [`Algorithm::FixedWindow`].
    #[must_use]
    pub const fn fixed_window(self) -> Self {
        self.by(Algorithm::FixedWindow)
    }

    /// Remembers the time of each request, for small limits that guard something. See [`Algorithm::ExactLog`].
    #[must_use]
    pub const fn exact_log(self) -> Self {
        self.by(Algorithm::ExactLog)
    }

    const fn by(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Names the quota to clients, in the response fields, and in the log. Default `default`. At most 64 printable
    /// ASCII characters without quotes and backslashes: a string of RFC 9651, section 3.3.3.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::Quota;
    /// let quotas = [
    ///     Quota::per(20, Duration::from_secs(1)).named("burst"),
    ///     Quota::per(10_000, Duration::from_secs(86_400)).named("daily"),
    /// ];
    /// ```
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Returns the number of requests.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns the length of the window. Of a day of the calendar 24 hours, and of a month 31 days: how long they really
    /// are depends on the date.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// Returns how requests are counted.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the time zone of a budget for days or months, such as `Europe/Berlin`. `None` for other quotas.
    pub fn time_zone(&self) -> Option<&str> {
        self.calendar.as_ref().map(|calendar| calendar.zone())
    }

    /// Returns when days or months of a [budget](Algorithm::Calendar) begin around a time, all since the Unix epoch: the
    /// one before the current one, the current one, and the two after it. `None` for other quotas. For a
    /// [`Store`](crate::Store), which chooses among them by its own clock.
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

    /// The same quota with this fraction of its limit, rounded up, so that a limit stays one.
    #[cfg(feature = "store")]
    pub(crate) fn fraction(&self, fraction: f64) -> Self {
        let part = |limit: u32| (f64::from(limit) * fraction).ceil() as u32;
        let algorithm = match self.algorithm {
            Algorithm::Gcra { burst } => Algorithm::Gcra { burst: part(burst) },
            algorithm => algorithm,
        };
        Self { limit: part(self.limit), algorithm, ..self.clone() }
    }

    /// False if the quota goes by the name that quotas have by themselves.
    pub(crate) fn has_name(&self) -> bool {
        self.name != UNNAMED
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the window in nanoseconds, as the tables count it.
    ///
    /// # Errors
    ///
    /// If nothing can be counted in it.
    pub(crate) fn window_nanos(&self) -> Result<NonZeroU64, ConfigError> {
        let window = match self.calendar {
            Some(_) => calendar::LENGTH,
            None => self.window,
        };
        if self.calendar.is_some() != (self.algorithm == Algorithm::Calendar) {
            let remedy = "days and months of the calendar are counted by one algorithm: call per_day or per_month without \
                          another, or per(limit, window)";
            let algorithm = format_args!("{:?}", self.algorithm);
            return Err(ConfigError::new("algorithm", algorithm, remedy));
        }
        let refuse = |remedy| ConfigError::new("window", format_args!("{window:?}"), remedy);
        let nanos = u64::try_from(window.as_nanos())
            .ok()
            .filter(|nanos| *nanos <= LONGEST)
            .ok_or_else(|| refuse("choose a window of at most 146 years"))?;
        NonZeroU64::new(nanos)
            .ok_or_else(|| refuse("choose a window longer than nothing, such as 60 seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(window: Duration) -> Result<u64, String> {
        Quota::per(1, window).window_nanos().map(NonZeroU64::get).map_err(|error| error.to_string())
    }

    #[test]
    fn a_window_without_length_is_refused_with_the_remedy() {
        let error = nanos(Duration::ZERO).unwrap_err();
        assert!(error.starts_with("window `0ns` is not valid: choose a window longer"), "{error}");
    }

    #[test]
    fn the_longest_window_is_counted_and_a_longer_one_is_refused() {
        assert_eq!(nanos(Duration::from_nanos(LONGEST)), Ok(LONGEST));
        assert!(nanos(Duration::from_nanos(LONGEST + 1)).is_err());
        assert!(nanos(Duration::MAX).is_err());
        assert_eq!(nanos(Duration::from_nanos(1)), Ok(1));
    }
}
