//! What responses say of a quota: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4, and what came before it.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use palisade_core::{ConfigError, set_header};

use crate::{Quota, Standing, calendar::Calendar};

/// Which fields tell a client where it stands, on every response, admitted or refused.
///
/// Where several quotas or limits apply, the draft's fields list all of them; the older ones have room for one, and name
/// the one with the least left.
///
/// | | fields |
/// | --- | --- |
/// | [`Draft10`](Self::Draft10) | `RateLimit-Policy: "burst";q=100;w=60`, `RateLimit: "burst";r=50;t=30` |
/// | [`Draft7`](Self::Draft7) | `RateLimit-Policy: 100;w=60`, `RateLimit: limit=100, remaining=50, reset=30` |
/// | [`Draft6`](Self::Draft6) | `RateLimit-Limit: 100`, `RateLimit-Remaining: 50`, `RateLimit-Reset: 30`, `RateLimit-Policy: 100;w=60` |
/// | [`XRateLimit`](Self::XRateLimit) | `X-RateLimit-Limit: 100`, `X-RateLimit-Remaining: 50`, `X-RateLimit-Reset: 30` |
/// | [`XRateLimitEpoch`](Self::XRateLimitEpoch) | the same, with the reset as a Unix time in seconds |
/// | [`None`](Self::None) | nothing, where quotas are nobody's business |
///
/// `t` and the resets are the seconds until additional quota is available, rounded up (as draft 10 defines `t`). In a
/// sliding window that is earlier than the end of the window.
/// `Retry-After` is on every refusal that waiting can help, whichever is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuotaHeaders {
    /// draft-ietf-httpapi-ratelimit-headers-10.
    #[default]
    Draft10,
    /// draft-ietf-httpapi-ratelimit-headers-07.
    Draft7,
    /// draft-ietf-httpapi-ratelimit-headers-06.
    Draft6,
    /// As Envoy and Kong send them: the reset in seconds from now.
    XRateLimit,
    /// As GitHub sends them: the reset as a Unix time.
    XRateLimitEpoch,
    /// None at all.
    None,
}

pub(crate) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Limit, remaining and reset, where each has a field of its own.
const DRAFT_6: [HeaderName; 3] = [
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
];
const X_RATELIMIT: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

const LONGEST_NAME: usize = 64;

/// The name in quotes, `;r=` and `;t=`, 10 digits and 20.
const LONGEST_FIELD: usize = LONGEST_NAME + 2 + 3 + 10 + 3 + 20;

/// What of the fields of one quota is the same for every response.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    policy: HeaderValue,
    /// The policy of the older drafts, which have no names.
    nameless: HeaderValue,
    /// Of a budget for days or months, the `w` of each response is the length of the current one.
    calendar: Option<Arc<Calendar>>,
    /// The name of the policy in quotes, then `;r=`.
    standing: Box<[u8]>,
    limit: u32,
}

impl Fields {
    /// # Errors
    ///
    /// If the name is not one that can stand between quotes as it is.
    pub(crate) fn new(quota: &Quota) -> Result<Self, ConfigError> {
        let (name, limit) = (quota.name(), quota.limit());
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
            // A string of RFC 9651, section 3.3.3, is printable ASCII. It could escape quotes; nobody needs them.
            return Err(invalid_name(name));
        }
        let window = quota.window();
        let window = match (window.as_secs(), window.subsec_nanos()) {
            _ if quota.calendar().is_some() => String::new(),
            (seconds, 0) => format!(";w={seconds}"),
            // `w` has whole seconds. A window of another length is left out rather than rounded.
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

    /// Completes one of the two policies with the length of the current window.
    fn policy_now(&self, policy: &HeaderValue, unix: impl FnOnce() -> Duration) -> HeaderValue {
        let Some(calendar) = &self.calendar else { return policy.clone() };
        let mut field = Field::default();
        field.push(policy.as_bytes());
        field.push(b";w=");
        field.push_number(calendar.length(unix()).as_secs());
        field.value()
    }

    /// What remains, and the time until there is more: in seconds, rounded up, so that a client which waits as told is
    /// never early.
    fn standing(&self, standing: Standing) -> HeaderValue {
        let mut field = Field::default();
        field.push(&self.standing);
        field.push_number(standing.remaining().into());
        if let Some(seconds) = reset(standing) {
            field.push(b";t=");
            field.push_number(seconds);
        }
        field.value()
    }
}

fn reset(standing: Standing) -> Option<u64> {
    standing.more_in_nanos().map(|nanos| nanos.div_ceil(1_000_000_000))
}

impl QuotaHeaders {
    /// Writes the fields of all quotas. `unix` is what the clock on the wall shows, where that is asked for.
    pub(crate) fn write<'a>(
        self,
        quotas: impl Iterator<Item = (&'a Fields, Standing)>,
        headers: &mut HeaderMap,
        unix: impl Fn() -> Duration,
    ) {
        match self {
            Self::None => {}
            Self::Draft10 => {
                for (fields, standing) in quotas {
                    // Limits further inside have written theirs, and a list may be several fields.
                    let policy = fields.policy_now(&fields.policy, &unix);
                    let _ = headers.try_append(RATELIMIT_POLICY, policy);
                    let _ = headers.try_append(RATELIMIT, fields.standing(standing));
                }
            }
            _ => {
                let Some((fields, standing)) = quotas.min_by_key(|(_, quota)| quota.remaining())
                else {
                    return;
                };
                self.write_one(fields, standing, headers, unix);
            }
        }
    }

    /// One quota, in fields that have room for one.
    fn write_one(
        self,
        fields: &Fields,
        standing: Standing,
        headers: &mut HeaderMap,
        unix: impl Fn() -> Duration,
    ) {
        let (limit, remaining) = (fields.limit, standing.remaining());
        if self == Self::Draft7 {
            if said_before(headers, &RATELIMIT).is_some_and(|least| least <= remaining) {
                return;
            }
            let mut field = Field::default();
            field.push(b"limit=");
            field.push_number(limit.into());
            field.push(b", remaining=");
            field.push_number(remaining.into());
            if let Some(seconds) = reset(standing) {
                field.push(b", reset=");
                field.push_number(seconds);
            }
            set_header(headers, RATELIMIT_POLICY, fields.policy_now(&fields.nameless, &unix));
            set_header(headers, RATELIMIT, field.value());
            return;
        }
        let names = if self == Self::Draft6 { DRAFT_6 } else { X_RATELIMIT };
        if said_before(headers, &names[1]).is_some_and(|least| least <= remaining) {
            return;
        }
        if self == Self::Draft6 {
            set_header(headers, RATELIMIT_POLICY, fields.policy_now(&fields.nameless, &unix));
        }
        let reset = match self {
            Self::XRateLimitEpoch => standing.more_in().map(|more_in| {
                let then = unix().saturating_add(more_in);
                then.as_secs().saturating_add(u64::from(then.subsec_nanos() > 0))
            }),
            _ => reset(standing),
        };
        let [limit_name, remaining_name, reset_name] = names;
        set_header(headers, limit_name, HeaderValue::from(limit));
        set_header(headers, remaining_name, HeaderValue::from(remaining));
        headers.remove(&reset_name);
        if let Some(reset) = reset {
            set_header(headers, reset_name, HeaderValue::from(reset));
        }
    }
}

/// What a limit further inside has said remains.
fn said_before(headers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    let said = headers.get(name)?.to_str().ok()?;
    let said = said.split_once("remaining=").map_or(said, |(_, rest)| rest);
    said.split(',').next()?.trim().parse().ok()
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

impl Default for Field {
    fn default() -> Self {
        Self { bytes: [0; LONGEST_FIELD], length: 0 }
    }
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

    fn value(&self) -> HeaderValue {
        // Names were header values before, and digits always are.
        HeaderValue::from_bytes(&self.bytes[..self.length])
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    fn fields(window: Duration) -> Fields {
        Fields::new(&Quota::per(100, window)).unwrap()
    }

    fn standing(remaining: u32, more_in: Option<u64>) -> HeaderValue {
        fields(MINUTE).standing(Standing::new(remaining, more_in))
    }

    /// All fields, in the order of their names.
    fn written(
        by: QuotaHeaders,
        headers: &mut HeaderMap,
        quotas: &[(u32, Standing)],
    ) -> Vec<String> {
        let quotas: Vec<_> = quotas
            .iter()
            .map(|(limit, standing)| (Fields::new(&Quota::per(*limit, MINUTE)).unwrap(), *standing))
            .collect();
        let quotas = quotas.iter().map(|(fields, standing)| (fields, *standing));
        by.write(quotas, headers, || Duration::from_millis(1_700_000_000_001));
        let mut fields: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        fields.sort();
        fields
    }

    #[test]
    fn the_fields_are_those_of_the_draft() {
        assert_eq!(fields(MINUTE).policy, "\"default\";q=100;w=60");
        assert_eq!(standing(50, Some(30 * SECOND)), "\"default\";r=50;t=30");
        assert_eq!(standing(0, None), "\"default\";r=0");
    }

    #[test]
    fn each_preset_writes_its_own_fields() {
        let quota = [(100, Standing::new(50, Some(29 * SECOND + 1)))];
        let of = |by| written(by, &mut HeaderMap::new(), &quota);
        assert_eq!(
            of(QuotaHeaders::Draft10),
            ["ratelimit-policy: \"default\";q=100;w=60", "ratelimit: \"default\";r=50;t=30"]
        );
        assert_eq!(
            of(QuotaHeaders::Draft7),
            ["ratelimit-policy: 100;w=60", "ratelimit: limit=100, remaining=50, reset=30"]
        );
        assert_eq!(
            of(QuotaHeaders::Draft6),
            [
                "ratelimit-limit: 100",
                "ratelimit-policy: 100;w=60",
                "ratelimit-remaining: 50",
                "ratelimit-reset: 30"
            ]
        );
        assert_eq!(
            of(QuotaHeaders::XRateLimit),
            ["x-ratelimit-limit: 100", "x-ratelimit-remaining: 50", "x-ratelimit-reset: 30"]
        );
        assert_eq!(
            of(QuotaHeaders::XRateLimitEpoch)[2],
            "x-ratelimit-reset: 1700000030",
            "1,700,000,000.001 and 29.000000001, rounded up"
        );
        assert!(of(QuotaHeaders::None).is_empty());
    }

    #[test]
    fn fields_with_room_for_one_name_the_quota_with_the_least_left() {
        let of = |remaining| Standing::new(remaining, Some(SECOND));
        for (by, remaining) in [
            (QuotaHeaders::Draft7, "ratelimit: limit=9, remaining=3, reset=1"),
            (QuotaHeaders::Draft6, "ratelimit-remaining: 3"),
            (QuotaHeaders::XRateLimit, "x-ratelimit-remaining: 3"),
        ] {
            let mut headers = HeaderMap::new();
            let fields = written(by, &mut headers, &[(100, of(50)), (9, of(3))]);
            assert!(fields.iter().any(|field| field == remaining), "{fields:?}");
            // a limit further out that has more left says nothing, and one that has less replaces all
            assert_eq!(written(by, &mut headers, &[(70, of(4))]), fields);
            let fields = written(by, &mut headers, &[(7, Standing::new(0, None))]);
            assert!(!fields.iter().any(|field| field.contains("reset")), "{fields:?}");
            assert!(
                fields
                    .iter()
                    .any(|field| field.contains("remaining=0") || field.ends_with("remaining: 0"))
            );
        }
    }

    #[test]
    fn a_window_that_is_not_whole_seconds_is_not_advertised() {
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
    fn the_longest_field_fits() {
        let name = "n".repeat(LONGEST_NAME);
        let fields = Fields::new(&Quota::per(u32::MAX, MINUTE).named(name.clone())).unwrap();
        let seconds = (u64::MAX - 1).div_ceil(SECOND);
        assert_eq!(
            fields.standing(Standing::new(u32::MAX, Some(u64::MAX - 1))),
            format!("\"{name}\";r=4294967295;t={seconds}")
        );
    }

    #[test]
    fn a_name_that_could_break_out_of_its_quotes_is_refused() {
        let refused = |name: &str| {
            Fields::new(&Quota::per(1, Duration::from_secs(1)).named(name.to_owned())).is_err()
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
