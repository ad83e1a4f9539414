//! The fields `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4).

use http::{HeaderName, HeaderValue};
use palisade_core::ConfigError;

use crate::Quota;

pub(crate) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

const LONGEST_NAME: usize = 64;

/// The name in quotes, `;r=` and `;t=`, 10 digits and 20.
const LONGEST_FIELD: usize = LONGEST_NAME + 2 + 3 + 10 + 3 + 20;

/// What of the two fields is the same for every response.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    policy: HeaderValue,
    /// The name of the policy in quotes, then `;r=`.
    standing: Box<[u8]>,
}

impl Fields {
    /// # Errors
    ///
    /// If the name is not one that can stand between quotes as it is.
    pub(crate) fn new(name: &str, quota: &Quota) -> Result<Self, ConfigError> {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
            // A string of RFC 9651, section 3.3.3, is printable ASCII. It could escape quotes; nobody needs them.
            return Err(invalid_name(name));
        }
        let (limit, window) = (quota.limit(), quota.window());
        let policy = match (window.as_secs(), window.subsec_nanos()) {
            // `w` counts whole seconds. A window that does not is left out rather than rounded.
            (seconds, 0) => format!("\"{name}\";q={limit};w={seconds}"),
            _ => format!("\"{name}\";q={limit}"),
        };
        Ok(Self {
            policy: HeaderValue::try_from(policy).map_err(|_| invalid_name(name))?,
            standing: format!("\"{name}\";r=").into_bytes().into(),
        })
    }

    pub(crate) fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }

    /// What remains, and the nanoseconds until there is more: in seconds, rounded up, so that a client which waits as
    /// told is never early.
    pub(crate) fn standing(&self, remaining: u32, more_in_nanos: Option<u64>) -> HeaderValue {
        let mut field = Field { bytes: [0; LONGEST_FIELD], length: 0 };
        field.push(&self.standing);
        field.push_number(u64::from(remaining));
        if let Some(nanos) = more_in_nanos {
            field.push(b";t=");
            field.push_number(nanos.div_ceil(1_000_000_000));
        }
        // The name was a header value before, and digits always are.
        HeaderValue::from_bytes(&field.bytes[..field.length])
            .unwrap_or_else(|_| self.policy.clone())
    }
}

fn invalid_name(name: &str) -> ConfigError {
    ConfigError::new(
        "name",
        name.escape_debug(),
        "choose 1 to 64 printable ASCII characters without quotes and backslashes, such as per-user",
    )
}

/// A header value in the making, on the stack.
struct Field {
    bytes: [u8; LONGEST_FIELD],
    length: usize,
}

impl Field {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn push_number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[first..]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn fields(window: Duration) -> Fields {
        Fields::new("default", &Quota::per(100, window)).unwrap()
    }

    #[test]
    fn the_fields_are_those_of_the_draft() {
        let fields = fields(Duration::from_secs(60));
        assert_eq!(fields.policy(), "\"default\";q=100;w=60");
        assert_eq!(fields.standing(50, Some(30 * SECOND)), "\"default\";r=50;t=30");
        assert_eq!(fields.standing(0, None), "\"default\";r=0");
    }

    #[test]
    fn a_window_that_is_not_whole_seconds_is_not_advertised() {
        assert_eq!(fields(Duration::from_millis(500)).policy(), "\"default\";q=100");
        assert_eq!(fields(Duration::from_millis(1500)).policy(), "\"default\";q=100");
    }

    #[test]
    fn seconds_are_rounded_up() {
        let fields = fields(Duration::from_secs(60));
        assert_eq!(fields.standing(1, Some(1)), "\"default\";r=1;t=1");
        assert_eq!(fields.standing(1, Some(6 * SECOND + 1)), "\"default\";r=1;t=7");
        assert_eq!(fields.standing(1, Some(6 * SECOND)), "\"default\";r=1;t=6");
    }

    #[test]
    fn the_longest_field_fits() {
        let name = "n".repeat(LONGEST_NAME);
        let fields = Fields::new(&name, &Quota::per(u32::MAX, Duration::from_secs(1))).unwrap();
        let seconds = u64::MAX.div_ceil(SECOND);
        assert_eq!(
            fields.standing(u32::MAX, Some(u64::MAX)),
            format!("\"{name}\";r=4294967295;t={seconds}")
        );
    }

    #[test]
    fn a_name_that_could_break_out_of_its_quotes_is_refused() {
        let refused =
            |name: &str| Fields::new(name, &Quota::per(1, Duration::from_secs(1))).is_err();
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
