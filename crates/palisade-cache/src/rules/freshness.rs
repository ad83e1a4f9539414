use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::directives::{Directives, seconds};

/// When a request was sent to the service and when its response arrived, since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) request: Duration,
    pub(crate) response: Duration,
}

/// How long a stored response may be used. It is decided when the response is stored or validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "redis", derive(serde::Deserialize, serde::Serialize))]
pub(crate) struct Terms {
    /// `freshness_lifetime` of section 4.2.
    pub(crate) lifetime: Duration,
    /// `corrected_initial_age` of section 4.2.3.
    pub(crate) initial_age: Duration,
    /// `response_time` of section 4.2.3.
    pub(crate) stored_at: Duration,
    /// `no-cache`: each use is validated (section 5.2.2.4).
    pub(crate) always_validate: bool,
    /// Neither a client nor a failure makes it usable once it is stale (section 4.2.4).
    pub(crate) never_stale: bool,
    /// RFC 5861, section 3.
    pub(crate) stale_while_revalidate: Duration,
    /// RFC 5861, section 4.
    pub(crate) stale_if_error: Duration,
}

impl Terms {
    /// `current_age` of section 4.2.3.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        self.initial_age.saturating_add(now.saturating_sub(self.stored_at))
    }

    /// Returns how long it has been stale. Zero at the moment at which its lifetime ends; `None` while it is fresh.
    pub(crate) fn staleness(&self, now: Duration) -> Option<Duration> {
        let age = self.age(now);
        (age >= self.lifetime).then(|| age - self.lifetime)
    }

    /// Returns how much longer it can be of any use: fresh, stale, or to validate with.
    pub(crate) fn usable_for(&self, validator: bool) -> Duration {
        let stale = self.stale_while_revalidate.max(self.stale_if_error);
        // A validator is kept for another day: it saves the body of a response.
        let validated = if validator { Duration::from_secs(24 * 60 * 60) } else { Duration::ZERO };
        self.lifetime.saturating_add(stale.max(validated)).saturating_sub(self.initial_age)
    }
}

/// `corrected_initial_age` (section 4.2.3). The first element of `Age` counts, and an invalid one does not (section 5.1).
pub(super) fn initial_age(headers: &HeaderMap, times: Times) -> Duration {
    let apparent = unix_of_date(headers, &header::DATE)
        .map_or(Duration::ZERO, |date| times.response.saturating_sub(date));
    let first = headers.get(header::AGE).map(HeaderValue::as_bytes);
    let first = first.and_then(|line| line.split(|byte| *byte == b',').next());
    let age = first.and_then(|first| seconds(first.trim_ascii())).unwrap_or(0);
    let delay = times.response.saturating_sub(times.request);
    apparent.max(Duration::from_secs(age).saturating_add(delay))
}

/// `freshness_lifetime` of a shared cache, if the response states it (section 4.2.1).
///
/// `expires_counts` is false if the directives are those of a targeted field.
pub(super) fn explicit_lifetime(
    directives: &Directives,
    headers: &HeaderMap,
    times: Times,
    expires_counts: bool,
) -> Option<Duration> {
    if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
        return Some(Duration::from_secs(seconds));
    }
    let mut lines = headers.get_all(header::EXPIRES).iter();
    if !expires_counts || lines.next().is_none() {
        return None;
    }
    // Section 5.3: a value that is not a date, such as 0, is in the past. So are several values.
    if lines.next().is_some() {
        return Some(Duration::ZERO);
    }
    let date = unix_of_date(headers, &header::DATE).unwrap_or(times.response);
    let expires = unix_of_date(headers, &header::EXPIRES).unwrap_or(Duration::ZERO);
    Some(expires.saturating_sub(date))
}

/// The longest lifetime that a cache guesses: RFC 9111 has no limit, and demanded a warning after a day before.
const LONGEST_GUESS: Duration = Duration::from_secs(24 * 60 * 60);

/// A lifetime for a response that states none: a tenth of the time since it was last modified (section 4.2.2).
pub(super) fn heuristic_lifetime(
    directives: &Directives,
    status: StatusCode,
    headers: &HeaderMap,
    times: Times,
) -> Option<Duration> {
    if !directives.public && !is_heuristically_cacheable(status) {
        return None;
    }
    let modified = unix_of_date(headers, &header::LAST_MODIFIED)?;
    let date = unix_of_date(headers, &header::DATE).unwrap_or(times.response);
    Some((date.saturating_sub(modified) / 10).min(LONGEST_GUESS))
}

/// RFC 9110, section 15.1.
fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Returns the time of a field with an HTTP date (RFC 9110, section 5.6.7).
pub(crate) fn unix_of_date(headers: &HeaderMap, name: &http::HeaderName) -> Option<Duration> {
    let text = headers.get(name)?.to_str().ok()?;
    httpdate::parse_http_date(text.trim()).ok()?.duration_since(UNIX_EPOCH).ok()
}
