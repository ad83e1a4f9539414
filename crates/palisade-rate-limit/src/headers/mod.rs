//! The response fields of quotas: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4, and their predecessors.

mod fields;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use palisade_core::set_header;

pub(crate) use self::fields::QuotaFields;
use self::fields::{joined, reset};
use crate::Standing;

/// The response fields that report quotas to clients, on admitted and rejected requests.
///
/// If several quotas or limits apply, the fields of draft 10 list all of them. The older fields have room for one, and report
/// the quota with the least remaining requests.
///
/// | | fields |
/// | --- | --- |
/// | [`Draft10`](Self::Draft10) | `RateLimit-Policy: "burst";q=100;w=60`, `RateLimit: "burst";r=50;t=30` |
/// | [`Draft7`](Self::Draft7) | `RateLimit-Policy: 100;w=60`, `RateLimit: limit=100, remaining=50, reset=30` |
/// | [`Draft6`](Self::Draft6) | `RateLimit-Limit: 100`, `RateLimit-Remaining: 50`, `RateLimit-Reset: 30`, `RateLimit-Policy: 100;w=60` |
/// | [`XRateLimit`](Self::XRateLimit) | `X-RateLimit-Limit: 100`, `X-RateLimit-Remaining: 50`, `X-RateLimit-Reset: 30` |
/// | [`XRateLimitEpoch`](Self::XRateLimitEpoch) | the same, with the reset as a Unix time in seconds |
/// | [`None`](Self::None) | no fields; clients cannot see their quotas |
///
/// `t` and the resets are the seconds until additional quota is available, rounded up (as draft 10 defines `t`). In a
/// sliding window that is earlier than the end of the window. All variants send `Retry-After` with a rejection, unless the
/// request can never be admitted.
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
    /// The fields of Envoy and Kong: the reset in seconds from now.
    XRateLimit,
    /// The fields of GitHub: the reset as a Unix time.
    XRateLimitEpoch,
    /// No fields.
    None,
}

pub(crate) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The fields for limit, remaining and reset.
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

impl QuotaHeaders {
    /// Writes the fields of all quotas. `unix` returns the time of the wall clock.
    pub(crate) fn write<'a>(
        self,
        quotas: impl Iterator<Item = (&'a QuotaFields, Standing)>,
        headers: &mut HeaderMap,
        unix: impl Fn() -> Duration,
    ) {
        match self {
            Self::None => {}
            Self::Draft10 => {
                for (fields, standing) in quotas {
                    // Appended, because inner limits have written their fields already.
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

    /// Writes one quota into fields that have room for one.
    fn write_one(
        self,
        fields: &QuotaFields,
        standing: Standing,
        headers: &mut HeaderMap,
        unix: impl Fn() -> Duration,
    ) {
        let (limit, remaining) = (fields.limit, standing.remaining());
        if self == Self::Draft7 {
            if remaining_written_before(headers, &RATELIMIT).is_some_and(|least| least <= remaining)
            {
                return;
            }
            let mut digits = [itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new()];
            let [first, second, third] = &mut digits;
            let limit = first.format(limit).as_bytes();
            let remaining = second.format(remaining).as_bytes();
            let field = match reset(standing) {
                Some(seconds) => {
                    let seconds = third.format(seconds).as_bytes();
                    joined([b"limit=", limit, b", remaining=", remaining, b", reset=", seconds])
                }
                None => joined([b"limit=", limit, b", remaining=", remaining]),
            };
            set_header(headers, RATELIMIT_POLICY, fields.policy_now(&fields.nameless, &unix));
            set_header(headers, RATELIMIT, field);
            return;
        }
        let names = if self == Self::Draft6 { DRAFT_6 } else { X_RATELIMIT };
        if remaining_written_before(headers, &names[1]).is_some_and(|least| least <= remaining) {
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

/// Returns the remaining requests that an inner limit has written.
fn remaining_written_before(headers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    let value = headers.get(name)?.to_str().ok()?;
    let value = value.split_once("remaining=").map_or(value, |(_, rest)| rest);
    value.split(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quota;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    /// Returns all fields in the order of their names.
    fn written(
        by: QuotaHeaders,
        headers: &mut HeaderMap,
        quotas: &[(u32, Standing)],
    ) -> Vec<String> {
        let quotas: Vec<_> = quotas
            .iter()
            .map(|(limit, standing)| {
                (QuotaFields::new(&Quota::per(*limit, MINUTE)).unwrap(), *standing)
            })
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
    fn each_preset_writes_its_own_fields() {
        let quota = [(100, Standing::new(50, Some(29 * SECOND + 1)))];
        let fields = |by| written(by, &mut HeaderMap::new(), &quota);
        assert_eq!(
            fields(QuotaHeaders::Draft10),
            ["ratelimit-policy: \"default\";q=100;w=60", "ratelimit: \"default\";r=50;t=30"]
        );
        assert_eq!(
            fields(QuotaHeaders::Draft7),
            ["ratelimit-policy: 100;w=60", "ratelimit: limit=100, remaining=50, reset=30"]
        );
        assert_eq!(
            fields(QuotaHeaders::Draft6),
            [
                "ratelimit-limit: 100",
                "ratelimit-policy: 100;w=60",
                "ratelimit-remaining: 50",
                "ratelimit-reset: 30"
            ]
        );
        assert_eq!(
            fields(QuotaHeaders::XRateLimit),
            ["x-ratelimit-limit: 100", "x-ratelimit-remaining: 50", "x-ratelimit-reset: 30"]
        );
        assert_eq!(
            fields(QuotaHeaders::XRateLimitEpoch)[2],
            "x-ratelimit-reset: 1700000030",
            "1,700,000,000.001 and 29.000000001, rounded up"
        );
        assert!(fields(QuotaHeaders::None).is_empty());
    }

    #[test]
    fn single_quota_fields_report_the_least_remaining() {
        let standing = |remaining| Standing::new(remaining, Some(SECOND));
        for (by, remaining) in [
            (QuotaHeaders::Draft7, "ratelimit: limit=9, remaining=3, reset=1"),
            (QuotaHeaders::Draft6, "ratelimit-remaining: 3"),
            (QuotaHeaders::XRateLimit, "x-ratelimit-remaining: 3"),
        ] {
            let mut headers = HeaderMap::new();
            let fields = written(by, &mut headers, &[(100, standing(50)), (9, standing(3))]);
            assert!(fields.iter().any(|field| field == remaining), "{fields:?}");
            // An outer limit with more remaining writes nothing, and one with less replaces the fields.
            assert_eq!(written(by, &mut headers, &[(70, standing(4))]), fields);
            let fields = written(by, &mut headers, &[(7, Standing::new(0, None))]);
            assert!(!fields.iter().any(|field| field.contains("reset")), "{fields:?}");
            assert!(
                fields
                    .iter()
                    .any(|field| field.contains("remaining=0") || field.ends_with("remaining: 0"))
            );
        }
    }
}
