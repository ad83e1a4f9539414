use http::StatusCode;
use palisade_core::{ErrorCode, GrpcCode};

/// The error codes of this crate, beside [`ApiError::KINDS`](palisade_core::ApiError::KINDS).
///
/// ```
/// assert!(palisade_body::CODES.iter().any(|code| code.code == "DECOMPRESSED_TOO_LARGE"));
/// ```
pub const CODES: &[ErrorCode] = &[
    INVALID_CONTENT_ENCODING,
    DECOMPRESSED_TOO_LARGE,
    COMPRESSION_RATIO_TOO_HIGH,
    UNSUPPORTED_CONTENT_ENCODING,
    RESPONSE_TOO_LARGE,
];

pub(crate) const INVALID_CONTENT_ENCODING: ErrorCode = ErrorCode::new(
    "INVALID_CONTENT_ENCODING",
    StatusCode::BAD_REQUEST,
    GrpcCode::InvalidArgument,
    "the request body does not match its content encoding",
)
.about("The body could not be decompressed by the coding that `Content-Encoding` names.");

pub(crate) const DECOMPRESSED_TOO_LARGE: ErrorCode = ErrorCode::new(
    "DECOMPRESSED_TOO_LARGE",
    StatusCode::PAYLOAD_TOO_LARGE,
    GrpcCode::ResourceExhausted,
    "the request body is too large once it is decompressed",
)
.about("The body is within the limit as sent, and over the limit after decompression.");

pub(crate) const COMPRESSION_RATIO_TOO_HIGH: ErrorCode = ErrorCode::new(
    "COMPRESSION_RATIO_TOO_HIGH",
    StatusCode::PAYLOAD_TOO_LARGE,
    GrpcCode::ResourceExhausted,
    "the request body is compressed more than allowed",
)
.about("The body inflates to many times its size, like a zip bomb. Send it less compressed.");

pub(crate) const UNSUPPORTED_CONTENT_ENCODING: ErrorCode = ErrorCode::new(
    "UNSUPPORTED_CONTENT_ENCODING",
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    GrpcCode::InvalidArgument,
    "the content encoding is not supported",
)
.about("The coding of the body is not supported; `Accept-Encoding` lists the supported ones.");

pub(crate) const RESPONSE_TOO_LARGE: ErrorCode = ErrorCode::new(
    "RESPONSE_TOO_LARGE",
    StatusCode::INTERNAL_SERVER_ERROR,
    GrpcCode::ResourceExhausted,
    "the response is larger than allowed",
)
.about("The response is over the limit of the service. Request less: a page, fewer fields.");
