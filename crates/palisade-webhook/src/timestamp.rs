use std::time::Duration;

use palisade_core::{Clock, ConfigError};

use crate::fault::Fault;

/// The timestamp of a request. The text is stored, because the text is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp<'r> {
    pub(crate) text: &'r str,
    seconds: i64,
}

impl<'r> Timestamp<'r> {
    /// Parses whole seconds since the Unix epoch: digits only, without overflow.
    pub(crate) fn in_seconds(text: &'r str, of: &'static str) -> Result<Self, Fault> {
        Ok(Self { text, seconds: number(text).ok_or(Fault::Malformed(of))? })
    }

    /// Parses whole milliseconds.
    pub(crate) fn in_millis(text: &'r str, of: &'static str) -> Result<Self, Fault> {
        Ok(Self { text, seconds: number(text).ok_or(Fault::Malformed(of))? / 1000 })
    }

    /// Returns the time since the Unix epoch.
    pub(crate) fn unix(self) -> Duration {
        Duration::from_secs(self.seconds.unsigned_abs())
    }
}

fn number(text: &str) -> Option<i64> {
    // `parse` alone would accept a sign.
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}

/// The accepted distance of a timestamp from now, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tolerance(u64);

impl Tolerance {
    /// The tolerance that Stripe, Slack and Standard Webhooks recommend.
    pub(crate) const DEFAULT: Duration = Duration::from_secs(300);

    const MOST: u64 = 24 * 60 * 60;

    pub(crate) fn new(tolerance: Duration) -> Result<Self, ConfigError> {
        let seconds = tolerance.as_secs();
        if (1..=Self::MOST).contains(&seconds) {
            return Ok(Self(seconds));
        }
        Err(ConfigError::new(
            "tolerance",
            format!("{tolerance:?}"),
            "use 1 second to 1 day; without a limit, a captured request is valid forever",
        ))
    }

    /// Checks both directions: a timestamp in the future would be valid for longer than configured.
    pub(crate) fn check(self, timestamp: Timestamp<'_>, clock: &dyn Clock) -> Result<(), Fault> {
        let now = i64::try_from(clock.unix().as_secs()).unwrap_or(i64::MAX);
        if now.abs_diff(timestamp.seconds) <= self.0 { Ok(()) } else { Err(Fault::Stale) }
    }

    /// Checks the sender's expiry, which is exclusive (RFC 9421, section 2.3).
    pub(crate) fn check_end(end: Timestamp<'_>, clock: &dyn Clock) -> Result<(), Fault> {
        let now = i64::try_from(clock.unix().as_secs()).unwrap_or(i64::MAX);
        if now < end.seconds { Ok(()) } else { Err(Fault::Stale) }
    }

    /// Returns how long a request can be accepted again: twice the tolerance, because its timestamp may be in the future. One second
    /// is added, because timestamps are whole seconds and stores count in smaller units.
    pub(crate) fn window(self) -> Duration {
        Duration::from_secs(2 * self.0 + 2)
    }
}

#[cfg(test)]
mod tests {
    use palisade_core::ManualClock;
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_614_265_330;

    fn check(seconds: u64, tolerance: u64) -> Result<(), Fault> {
        let text = seconds.to_string();
        let timestamp = Timestamp::in_seconds(&text, "t").unwrap();
        let clock = ManualClock::at(Duration::from_millis(NOW * 1000 + 999));
        Tolerance::new(Duration::from_secs(tolerance)).unwrap().check(timestamp, &clock)
    }

    #[test]
    fn accepts_timestamps_within_tolerance_in_both_directions() {
        for fine in [NOW, NOW - 300, NOW + 300] {
            assert_eq!(check(fine, 300), Ok(()));
        }
        for stale in [NOW - 301, NOW + 301, NOW + 600, 0, i64::MAX as u64, NOW * 1000] {
            assert_eq!(check(stale, 300), Err(Fault::Stale), "{stale}");
        }
        assert_eq!((check(NOW - 1, 1), check(NOW - 2, 1)), (Ok(()), Err(Fault::Stale)));
    }

    #[test]
    fn timestamp_must_be_decimal_digits_within_range() {
        assert!(Timestamp::in_seconds("9223372036854775807", "t").is_ok());
        for wrong in
            ["", " ", "-1", "+1", "1.0", "1e9", "0x1", " 1", "1 ", "9223372036854775808", "\u{661}"]
        {
            assert_eq!(Timestamp::in_seconds(wrong, "t"), Err(Fault::Malformed("t")), "{wrong}");
        }
        assert_eq!(Timestamp::in_millis("1614265330999", "t").unwrap().unix().as_secs(), NOW);
    }

    #[test]
    fn tolerance_of_zero_or_over_a_day_is_rejected() {
        for wrong in
            [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(86_401), Duration::MAX]
        {
            assert_eq!(Tolerance::new(wrong).unwrap_err().setting(), "tolerance");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}", now in any::<u64>()) {
            let clock = ManualClock::at(Duration::from_secs(now));
            if let Ok(timestamp) = Timestamp::in_seconds(&text, "t") {
                let _ = Tolerance(300).check(timestamp, &clock);
            }
        }
    }
}
