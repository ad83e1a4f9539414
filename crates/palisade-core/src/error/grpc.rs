use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    ApiError, ErrorContext, Wire,
    body_fields::OF_THE_BODY,
    grpc_details::{self, failure_code, pushback_millis},
    grpc_message::{encode_message, short},
};
use crate::{RequestId, set_header};

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(crate) const GRPC_STATUS_DETAILS: HeaderName =
    HeaderName::from_static("grpc-status-details-bin");
pub(crate) const GRPC_RETRY_PUSHBACK_MS: HeaderName =
    HeaderName::from_static("grpc-retry-pushback-ms");
/// The headers with the status of a call, which do not apply to another response.
pub(super) const OF_THE_STATUS: [HeaderName; 4] =
    [GRPC_STATUS, GRPC_MESSAGE, GRPC_STATUS_DETAILS, GRPC_RETRY_PUSHBACK_MS];
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Writes an error into the headers of a response, or into the body that is returned.
pub(super) fn dress(
    wire: Wire,
    headers: &mut HeaderMap,
    error: &ApiError,
    context: &ErrorContext,
) -> Bytes {
    set_header(headers, header::CONTENT_TYPE, wire.media_type());
    match wire {
        Wire::Native => {
            write_trailers(headers, error, context);
            Bytes::new()
        }
        Wire::Web | Wire::WebText => web_trailers(wire, error, context),
    }
}

/// Returns the trailers that end a response with an error.
pub(super) fn trailers(error: &ApiError, context: &ErrorContext) -> HeaderMap {
    // A client takes the metadata of a status from its trailers.
    let mut trailers = metadata(error.headers());
    write_trailers(&mut trailers, error, context);
    trailers
}

/// Returns the last frame of a gRPC-web body that ends with an error.
pub(super) fn web_trailers(wire: Wire, error: &ApiError, context: &ErrorContext) -> Bytes {
    let mut trailers = trailers(error, context);
    if let Some(id) = context.request_id() {
        set_header(&mut trailers, X_REQUEST_ID, id.header_value().clone());
    }
    let frame = trailers_frame(&trailers);
    if wire == Wire::WebText { STANDARD.encode(frame).into() } else { frame.into() }
}

/// Fields that concern one connection, or an HTTP response and its copies in caches. Trailers must not contain them
/// (RFC 9110, section 6.5.1), and they are no metadata of a status.
const NOT_METADATA: [HeaderName; 14] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::UPGRADE,
    header::DATE,
    header::CACHE_CONTROL,
    header::PRAGMA,
    header::EXPIRES,
    header::AGE,
    header::VARY,
    header::SET_COOKIE,
    header::HOST,
    header::SERVER,
];

/// Returns the headers of an error that are metadata of its status.
pub(crate) fn metadata(headers: &HeaderMap) -> HeaderMap {
    let is_metadata =
        |name: &HeaderName| !NOT_METADATA.contains(name) && !OF_THE_BODY.contains(name);
    let mut metadata = headers.clone();
    for name in headers.keys().filter(|name| !is_metadata(name)) {
        metadata.remove(name);
    }
    metadata
}

fn write_trailers(trailers: &mut HeaderMap, error: &ApiError, context: &ErrorContext) {
    set_header(trailers, GRPC_STATUS, HeaderValue::from(failure_code(error) as i32));
    set_header(trailers, GRPC_MESSAGE, encode_message(short(error.message())));
    let service = context.grpc_service().unwrap_or_default();
    let details = grpc_details::encode(error, service, context.request_id().map(RequestId::as_str));
    // base64 is always a header value.
    if let Ok(details) = HeaderValue::try_from(STANDARD_NO_PAD.encode(details)) {
        set_header(trailers, GRPC_STATUS_DETAILS, details);
    }
    if let Some(pushback) = retry_pushback(error) {
        set_header(trailers, GRPC_RETRY_PUSHBACK_MS, pushback);
    }
}

/// The frame that ends a gRPC-web body: the flag of trailers, the length, and fields as in HTTP/1 with names in lower
/// case (PROTOCOL-WEB.md of gRPC).
fn trailers_frame(trailers: &HeaderMap) -> Vec<u8> {
    let mut frame = vec![0x80, 0, 0, 0, 0];
    for (name, value) in trailers {
        frame.extend_from_slice(name.as_str().as_bytes());
        frame.push(b':');
        frame.extend_from_slice(value.as_bytes());
        frame.extend_from_slice(b"\r\n");
    }
    // Header fields are far smaller than 4 GiB.
    let length = u32::try_from(frame.len() - 5).unwrap_or(u32::MAX);
    frame[1..5].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Returns the retry delay for gRPC clients with automatic retries (gRFC A6): milliseconds as a 32-bit number, or a negative
/// number if a retry cannot help.
pub(crate) fn retry_pushback(error: &ApiError) -> Option<HeaderValue> {
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
    fn trailers_frame_has_the_grpc_web_format() {
        let mut trailers = HeaderMap::new();
        trailers.insert(GRPC_STATUS, HeaderValue::from_static("5"));
        trailers.insert(GRPC_MESSAGE, HeaderValue::from_static("no"));
        let frame = trailers_frame(&trailers);
        assert_eq!(frame, b"\x80\0\0\0\x20grpc-status:5\r\ngrpc-message:no\r\n");
    }

    #[test]
    fn retry_pushback_contains_the_delay_or_forbids_retries() {
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
}
