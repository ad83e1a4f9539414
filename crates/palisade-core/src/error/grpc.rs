use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, header};

use super::{ApiError, grpc_details::pushback_millis};

/// The status codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(
    missing_docs,
    reason = "the names are gRPC's own: https://grpc.io/docs/guides/status-codes/"
)]
pub enum GrpcCode {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl GrpcCode {
    #[cfg(feature = "tonic")]
    pub(crate) fn from_number(number: i32) -> Self {
        const ALL: [GrpcCode; 17] = [
            GrpcCode::Ok,
            GrpcCode::Cancelled,
            GrpcCode::Unknown,
            GrpcCode::InvalidArgument,
            GrpcCode::DeadlineExceeded,
            GrpcCode::NotFound,
            GrpcCode::AlreadyExists,
            GrpcCode::PermissionDenied,
            GrpcCode::ResourceExhausted,
            GrpcCode::FailedPrecondition,
            GrpcCode::Aborted,
            GrpcCode::OutOfRange,
            GrpcCode::Unimplemented,
            GrpcCode::Internal,
            GrpcCode::Unavailable,
            GrpcCode::DataLoss,
            GrpcCode::Unauthenticated,
        ];
        usize::try_from(number).ok().and_then(|at| ALL.get(at)).copied().unwrap_or(Self::Unknown)
    }
}

/// True for `application/grpc` followed by the end, `+` or `;`. gRPC-web is another protocol.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.as_bytes().split_at_checked(b"application/grpc".len()))
        .is_some_and(|(media_type, rest)| {
            media_type.eq_ignore_ascii_case(b"application/grpc")
                && matches!(rest.first(), None | Some(b'+' | b';'))
        })
}

/// A `grpc-message`: bytes outside the printable ASCII range, and `%`, are percent-encoded.
pub(super) fn encode_message(message: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    // Nothing but printable ASCII is left.
    HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static(""))
}

/// What a gRPC client that retries by itself is told (gRFC A6): the milliseconds to wait, a 32-bit number, or a negative
/// one where trying again cannot help.
pub(super) fn retry_pushback(error: &ApiError) -> Option<HeaderValue> {
    match error.retry_after() {
        Some(wait) => {
            let millis = pushback_millis(wait).min(i32::MAX as u64);
            Some(HeaderValue::from(millis))
        }
        None if error.quota_violations().is_empty() => None,
        None => Some(HeaderValue::from_static("-1")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::QuotaViolation;

    #[test]
    fn grpc_is_told_from_its_neighbours() {
        let grpc = |content_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            is_grpc(&headers)
        };
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
            "Application/gRPC",
        ] {
            assert!(grpc(yes), "{yes}");
        }
        for no in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcs",
            "application/json",
            "",
        ] {
            assert!(!grpc(no), "{no}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn a_client_is_told_how_long_to_hold_back_or_not_to_come_back() {
        let pushback = |error: &ApiError| {
            retry_pushback(error).map(|value| value.to_str().unwrap().to_owned())
        };
        let wait = |wait| pushback(&ApiError::rate_limited().with_retry_after(wait)).unwrap();
        assert_eq!(wait(Duration::from_millis(1500)), "1500");
        assert_eq!(wait(Duration::from_nanos(1_500_000_001)), "1501");
        assert_eq!(wait(Duration::ZERO), "1");
        assert_eq!(wait(Duration::MAX), i32::MAX.to_string());
        let never = ApiError::rate_limited().with_quota_violation(QuotaViolation::new("none", 0));
        assert_eq!(pushback(&never).unwrap(), "-1");
        assert_eq!(pushback(&ApiError::forbidden()), None);
    }

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(encode_message("50% of \"ü\"\n"), "50%25 of \"%C3%BC\"%0A");
    }
}
