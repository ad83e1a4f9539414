//! The prepared field values of one quota.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use palisade_core::{ConfigError, short_bytes_of};

use crate::{Quota, Standing, calendar::Calendar};

/// The longest name of a quota.
const LONGEST_NAME: usize = 64;

/// The parts of a quota's fields that are the same for all responses.
#[derive(Clone, Debug)]
pub(crate) struct QuotaFields {
    pub(super) policy: HeaderValue,
    /// The policy in the form of the older drafts, which have no names.
    pub(super) nameless: HeaderValue,
    /// For a calendar quota: `w` is the length of the current day or month.
    calendar: Option<Arc<Calendar>>,
    /// The quoted name and `;r=`.
    standing: Box<[u8]>,
    pub(super) limit: u32,
}

impl QuotaFields {
    /// # Errors
    ///
    /// If the name cannot be written between quotes without escapes.
    pub(crate) fn new(quota: &Quota) -> Result<Self, ConfigError> {
        let (name, limit) = (quota.name(), quota.limit());
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
            // A string is printable ASCII (RFC 9651, section 3.3.3). It may contain escaped quotes, which are not supported.
            return Err(invalid_name(name));
        }
        let window = quota.window();
        let window = match (window.as_secs(), window.subsec_nanos()) {
            _ if quota.calendar().is_some() => String::new(),
            (seconds, 0) => format!(";w={seconds}"),
            // `w` is in whole seconds. It is omitted for other windows instead of being rounded.
            _ => String::new(),
        };
        let value = |text: String| HeaderValue::try_from(text).map_err(|_| invalid_name(name));
        Ok(Self {
            policy: value(format!("\"{name}\";q={limit}{window}"))?,
            nameless: value(format!("{limit}{window}"))?,
            calendar: quota.calendar().cloned(),
            standing: format!("\"{name}\";r=").into_bytes().into(),
            limit,
        })
    }

    /// Adds the length of the current window to the policy of a calendar quota.
    pub(super) fn policy_now(
        &self,
        policy: &HeaderValue,
        unix: impl FnOnce() -> Duration,
    ) -> HeaderValue {
        let Some(calendar) = &self.calendar else { return policy.clone() };
        let mut window = itoa::Buffer::new();
        let window = window.format(calendar.length(unix()).as_secs());
        joined([policy.as_bytes(), b";w=", window.as_bytes()])
    }

    /// Returns the remaining requests and the seconds until there are more, rounded up so that a client that waits for this
    /// time is not early.
    pub(super) fn standing(&self, standing: Standing) -> HeaderValue {
        let (mut remaining, mut seconds) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (left, more_in) = standing.report();
        let remaining = remaining.format(left).as_bytes();
        match more_in {
            Some(nanos) => {
                let seconds = seconds.format(whole_seconds(nanos)).as_bytes();
                joined([&self.standing, remaining, b";t=", seconds])
            }
            None => joined([&self.standing, remaining]),
        }
    }
}

pub(super) fn reset(standing: Standing) -> Option<u64> {
    standing.more_in_nanos().map(whole_seconds)
}

fn whole_seconds(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000_000)
}

fn invalid_name(name: &str) -> ConfigError {
    ConfigError::new(
        "name",
        name.escape_debug(),
        "choose 1 to 64 printable ASCII characters without quotes and backslashes, such as per-user",
    )
}

/// Returns the value of a field. Its parts are names that have been checked, and numbers.
pub(super) fn joined<const N: usize>(parts: [&[u8]; N]) -> HeaderValue {
    HeaderValue::from_maybe_shared(short_bytes_of(parts))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    fn fields(window: Duration) -> QuotaFields {
        QuotaFields::new(&Quota::per(100, window)).unwrap()
    }

    fn standing(remaining: u32, more_in: Option<u64>) -> HeaderValue {
        fields(MINUTE).standing(Standing::new(remaining, more_in))
    }

    #[test]
    fn fields_have_the_form_of_draft_10() {
        assert_eq!(fields(MINUTE).policy, "\"default\";q=100;w=60");
        assert_eq!(standing(50, Some(30 * SECOND)), "\"default\";r=50;t=30");
        assert_eq!(standing(0, None), "\"default\";r=0");
    }

    #[test]
    fn window_with_fractions_of_seconds_is_omitted() {
        assert_eq!(fields(Duration::from_millis(500)).policy, "\"default\";q=100");
        assert_eq!(fields(Duration::from_millis(1500)).policy, "\"default\";q=100");
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(standing(1, Some(1)), "\"default\";r=1;t=1");
        assert_eq!(standing(1, Some(6 * SECOND + 1)), "\"default\";r=1;t=7");
        assert_eq!(standing(1, Some(6 * SECOND)), "\"default\";r=1;t=6");
    }

    #[test]
    fn longest_field_fits() {
        let name = "n".repeat(LONGEST_NAME);
        let fields = QuotaFields::new(&Quota::per(u32::MAX, MINUTE).named(name.clone())).unwrap();
        let seconds = (u64::MAX - 1).div_ceil(SECOND);
        assert_eq!(
            fields.standing(Standing::new(u32::MAX, Some(u64::MAX - 1))),
            format!("\"{name}\";r=4294967295;t={seconds}")
        );
    }

    #[test]
    fn name_that_needs_escapes_is_a_config_error() {
        let refused = |name: &str| {
            QuotaFields::new(&Quota::per(1, Duration::from_secs(1)).named(name.to_owned())).is_err()
        };
        let long = "n".repeat(LONGEST_NAME + 1);
        for name in ["", "a\"b", "a\\b", "a\r\nSet-Cookie: b", "a\tb", "täglich", "\u{7f}", &long]
        {
            assert!(refused(name), "{name:?}");
        }
        for name in ["per user", "burst", "a;q=1,b"] {
            assert!(!refused(name), "{name:?}");
        }
    }
}
