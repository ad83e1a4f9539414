use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    ApiError, ErrorContext,
    context::OF_THE_BODY,
    grpc_details::{self, pushback_millis},
};
use crate::{RequestId, set_header, syntax::percent_encode};

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

/// The protocol of a gRPC request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/2: trailers only, which are one HEADERS frame.
    Native,
    /// gRPC-web: trailers are the last frame of the body.
    Web,
    /// gRPC-web for clients that cannot read bytes: the same in base64.
    WebText,
}

impl Wire {
    /// Returns the protocol of a request. gRPC is `application/grpc`, followed by the end, `+` or `;`. For gRPC-web `Accept`,
    /// if present, selects the encoding of the response.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let sent = Self::of_media_type(headers.get(header::CONTENT_TYPE)?)?;
        let accepted = || headers.get(header::ACCEPT).and_then(Self::of_media_type);
        match sent {
            Self::Native => Some(Self::Native),
            web => Some(accepted().filter(|wire| *wire != Self::Native).unwrap_or(web)),
        }
    }

    pub(crate) fn of_media_type(value: &HeaderValue) -> Option<Self> {
        // The longer names first: each begins with the next.
        let known = [
            ("application/grpc-web-text", Self::WebText),
            ("application/grpc-web", Self::Web),
            ("application/grpc", Self::Native),
        ];
        known.into_iter().find_map(|(name, wire)| {
            let (start, rest) = value.as_bytes().split_at_checked(name.len())?;
            let fits = start.eq_ignore_ascii_case(name.as_bytes())
                && matches!(rest.first(), None | Some(b'+' | b';' | b',' | b' '));
            fits.then_some(wire)
        })
    }

    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Native => "application/grpc",
            Self::Web => "application/grpc-web+proto",
            Self::WebText => "application/grpc-web-text+proto",
        })
    }
}

/// Returns true for the headers of a gRPC message: `application/grpc`, followed by the end, `+` or `;`. For gRPC-web see
/// [`is_grpc_web`].
///
/// ```
/// use http::{HeaderMap, HeaderValue, header};
/// use palisade_core::{is_grpc, is_grpc_web};
///
/// let of = |value| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
/// assert!(is_grpc(&of("application/grpc+proto")) && !is_grpc(&of("application/grpc-web")));
/// assert!(is_grpc_web(&of("application/grpc-web-text")) && !is_grpc_web(&of("application/grpc")));
/// ```
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(Wire::of_media_type) == Some(Wire::Native)
}

/// True if a message with these headers is one of gRPC-web, in bytes or in base64.
pub fn is_grpc_web(headers: &HeaderMap) -> bool {
    let wire = headers.get(header::CONTENT_TYPE).and_then(Wire::of_media_type);
    matches!(wire, Some(Wire::Web | Wire::WebText))
}

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

/// A failure that called itself OK would be a success to the client.
pub(super) fn failure_code(error: &ApiError) -> GrpcCode {
    match error.grpc_code() {
        GrpcCode::Ok => GrpcCode::Unknown,
        code => code,
    }
}

/// The most bytes of a `grpc-message`. Clients that get more than 8 KiB of header fields see none of them, and so not
/// even the status.
const MAX_MESSAGE: usize = 1024;

/// Truncates a message so that it fits after percent-encoding.
pub(crate) fn short(message: &str) -> &str {
    let mut length = 0;
    let too_far = message.char_indices().find(|(_, char)| {
        length += if is_plain(*char) { 1 } else { 3 * char.len_utf8() };
        length > MAX_MESSAGE
    });
    &message[..too_far.map_or(message.len(), |(at, _)| at)]
}

fn is_plain(char: char) -> bool {
    matches!(char, ' '..='~') && char != '%'
}

/// A `grpc-message`: bytes outside the printable ASCII range, and `%`, are percent-encoded.
pub(super) fn encode_message(message: &str) -> HeaderValue {
    let encoded = percent_encode(message, |byte| is_plain(char::from(byte)));
    // Only printable ASCII is left.
    HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static(""))
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

    fn wire(content_type: &'static str, accept: Option<&'static str>) -> Option<Wire> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        Wire::from_headers(&headers)
    }

    #[test]
    fn detects_grpc_media_types() {
        for (content_type, is) in [
            ("application/grpc", Some(Wire::Native)),
            ("application/grpc+proto", Some(Wire::Native)),
            ("application/grpc;x=y", Some(Wire::Native)),
            ("Application/gRPC", Some(Wire::Native)),
            ("application/grpc-web", Some(Wire::Web)),
            ("application/grpc-web+proto", Some(Wire::Web)),
            ("application/grpc-web-text", Some(Wire::WebText)),
            ("application/grpc-web-text+proto", Some(Wire::WebText)),
            ("application/grpcs", None),
            ("application/grpc-websocket", None),
            ("application/grpc-web-textual", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(wire(content_type, None), is, "{content_type}");
        }
        assert_eq!(Wire::from_headers(&HeaderMap::new()), None);
    }

    #[test]
    fn accept_selects_the_grpc_web_encoding() {
        let text = Some("application/grpc-web-text");
        assert_eq!(wire("application/grpc-web", text), Some(Wire::WebText));
        let binary = Some("application/grpc-web+proto");
        assert_eq!(wire("application/grpc-web-text", binary), Some(Wire::Web));
        for other in [None, Some("*/*"), Some("application/grpc")] {
            assert_eq!(wire("application/grpc-web-text", other), Some(Wire::WebText), "{other:?}");
        }
        assert_eq!(wire("application/grpc", text), Some(Wire::Native));
        assert_eq!(wire("application/json", text), None);
    }

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

    #[test]
    fn long_message_is_cut_between_characters() {
        for (message, bytes) in [("x", 1024), ("\u{20ac}", 113 * 9), ("%", 341 * 3)] {
            let sent = encode_message(short(&message.repeat(2000)));
            assert_eq!(sent.len(), bytes, "{message}");
        }
        let fits = "y".repeat(1024);
        assert_eq!(short(&fits), fits);
    }

    #[test]
    fn grpc_message_is_percent_encoded() {
        assert_eq!(encode_message("50% of \"ü\"\n"), "50%25 of \"%C3%BC\"%0A");
    }
}
