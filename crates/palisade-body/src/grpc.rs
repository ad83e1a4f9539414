//! The header fields of gRPC.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use palisade_core::is_grpc_web;

/// Returns true if the body is gRPC-web in base64.
pub(crate) fn is_web_text(headers: &HeaderMap) -> bool {
    const TEXT: &[u8] = b"application/grpc-web-text";
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let start = content_type.and_then(|value| value.get(..TEXT.len()));
    is_grpc_web(headers) && start.is_some_and(|start| start.eq_ignore_ascii_case(TEXT))
}

/// Returns the client's timeout. `None` if the field is missing or malformed.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let mut values = headers.get_all("grpc-timeout").iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (unit, digits) = value.as_bytes().split_last()?;
    // The protocol allows at most eight digits, which cannot overflow in any unit.
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_each_unit_of_grpc_timeout_only() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("grpc-timeout", HeaderValue::from_static(value));
            }
            timeout(&headers)
        };
        for (value, expected) in [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("10S", Duration::from_secs(10)),
            ("250m", Duration::from_millis(250)),
            ("7u", Duration::from_micros(7)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
            ("0S", Duration::ZERO),
        ] {
            assert_eq!(read(&[value]), Some(expected), "{value}");
        }
        for value in ["", "S", "10", "10s", "-1S", "+1S", "1.5S", "100000000n", "1 S", "1SS"] {
            assert_eq!(read(&[value]), None, "{value}");
        }
        assert_eq!(read(&["1S", "2S"]), None, "which of the two?");
        assert_eq!(read(&[]), None);
    }
}
