use std::time::Duration;

use http::{HeaderMap, header};

/// Returns how long a response may be stored: `max-age` (RFC 9111, section 5.2.2.1) less its age in other caches (section 5.1).
///
/// `no-cache` and `no-store` are ignored, because several issuers send them with every response, for browsers.
pub(super) fn remaining(headers: &HeaderMap) -> Option<Duration> {
    let max_age = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(max_age)?;
    let age = headers.get(header::AGE).and_then(|age| seconds(age.to_str().ok()?)).unwrap_or(0);
    Some(Duration::from_secs(max_age.saturating_sub(age)))
}

fn max_age(directive: &str) -> Option<u64> {
    let (name, value) = directive.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("max-age") {
        return None;
    }
    // Section 5.2 asks recipients to take both forms of an argument.
    let value = value.trim();
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    seconds(quoted.unwrap_or(value))
}

/// Parses delta-seconds (section 1.2.2). Saturates if the number is too large.
fn seconds(value: &str) -> Option<u64> {
    let value = value.trim();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds_of(fields: &[(&'static str, &str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        remaining(&headers).map(|remaining| remaining.as_secs())
    }

    #[test]
    fn max_age_is_read_among_other_directives() {
        assert_eq!(seconds_of(&[("cache-control", "max-age=60")]), Some(60));
        assert_eq!(
            seconds_of(&[("cache-control", "public, Max-Age=\"60\" , must-revalidate")]),
            Some(60)
        );
        assert_eq!(
            seconds_of(&[("cache-control", "public"), ("cache-control", "max-age=7")]),
            Some(7)
        );
        assert_eq!(
            seconds_of(&[("cache-control", "max-age=99999999999999999999")]),
            Some(u64::MAX)
        );
        assert_eq!(seconds_of(&[("cache-control", "s-maxage=60, x-max-age=5, no-cache")]), None);
        assert_eq!(seconds_of(&[("cache-control", "max-age=-1, max-age=, max-age=1.5")]), None);
        assert_eq!(seconds_of(&[]), None);
    }

    #[test]
    fn age_header_reduces_the_lifetime() {
        assert_eq!(seconds_of(&[("cache-control", "max-age=60"), ("age", "50")]), Some(10));
        assert_eq!(seconds_of(&[("cache-control", "max-age=60"), ("age", "500")]), Some(0));
        assert_eq!(seconds_of(&[("cache-control", "max-age=60"), ("age", "soon")]), Some(60));
    }
}
