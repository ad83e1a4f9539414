use std::{num::NonZeroU64, time::Duration};

use palisade_core::ConfigError;

/// The longest window in nanoseconds, about 146 years: two of them and the time since the process started still add
/// up within 64 bits.
const LONGEST: u64 = u64::MAX / 4;

/// How many requests a key may make in a window of time.
///
/// ```
/// use std::time::Duration;
/// use palisade_rate_limit::Quota;
///
/// // a hundred requests a minute
/// let quota = Quota::per(100, Duration::from_secs(60));
/// assert_eq!(quota.limit(), 100);
/// assert_eq!(quota.window(), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u32,
    window: Duration,
}

impl Quota {
    /// `limit` requests in any `window`. A limit of 0 refuses every request; it never means "unlimited".
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
        Self { limit, window }
    }

    /// The number of requests.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::Quota;
    /// assert_eq!(Quota::per(5, Duration::from_secs(1)).limit(), 5);
    /// ```
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// The length of the window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::Quota;
    /// assert_eq!(Quota::per(5, Duration::from_secs(1)).window().as_millis(), 1000);
    /// ```
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// The window in nanoseconds, if it is one that can be counted in.
    pub(crate) fn window_nanos(&self) -> Result<NonZeroU64, ConfigError> {
        let refuse = |remedy| ConfigError::new("window", format_args!("{:?}", self.window), remedy);
        let nanos = u64::try_from(self.window.as_nanos())
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
