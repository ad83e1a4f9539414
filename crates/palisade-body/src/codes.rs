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
.about("The body is under its limit as it was sent, and over the one for what it inflates to.");

pub(crate) const COMPRESSION_RATIO_TOO_HIGH: ErrorCode = ErrorCode::new(
    "COMPRESSION_RATIO_TOO_HIGH",
    StatusCode::PAYLOAD_TOO_LARGE,
    GrpcCode::ResourceExhausted,
    "the request body is compressed more than is accepted",
)
.about("The body inflates to many times its size, as nothing but a zip bomb does. Send it less compressed.");

pub(crate) const UNSUPPORTED_CONTENT_ENCODING: ErrorCode = ErrorCode::new(
    "UNSUPPORTED_CONTENT_ENCODING",
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    GrpcCode::InvalidArgument,
    "the content encoding is not supported",
)
.about("The body is in a coding that is not understood; `Accept-Encoding` says which are.");

pub(crate) const RESPONSE_TOO_LARGE: ErrorCode = ErrorCode::new(
    "RESPONSE_TOO_LARGE",
    StatusCode::INTERNAL_SERVER_ERROR,
    GrpcCode::ResourceExhausted,
    "the response is larger than is allowed",
)
.about("The answer is over the limit of the service itself. Ask for less: a page, fewer fields.");
