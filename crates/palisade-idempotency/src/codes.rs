use http::StatusCode;
use palisade_core::{ErrorCode, GrpcCode};

/// The codes of this crate's errors.
pub const CODES: &[ErrorCode] = &[
    IDEMPOTENCY_KEY_REQUIRED,
    INVALID_IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_IN_USE,
    IDEMPOTENCY_KEY_REUSED,
    RESPONSE_NOT_STORED,
];

pub(crate) const IDEMPOTENCY_KEY_REQUIRED: ErrorCode = ErrorCode::new(
    "IDEMPOTENCY_KEY_REQUIRED",
    StatusCode::BAD_REQUEST,
    GrpcCode::InvalidArgument,
    "this request requires the header Idempotency-Key",
)
.about("Create a key for each operation, such as a UUID, and use the same key for its retries.");

pub(crate) const INVALID_IDEMPOTENCY_KEY: ErrorCode = ErrorCode::new(
    "INVALID_IDEMPOTENCY_KEY",
    StatusCode::BAD_REQUEST,
    GrpcCode::InvalidArgument,
    "the header Idempotency-Key is not valid",
)
.about(
    "A key is one header line with 1 to 255 visible ASCII characters, in double quotes or without.",
);

pub(crate) const IDEMPOTENCY_KEY_IN_USE: ErrorCode = ErrorCode::new(
    "IDEMPOTENCY_KEY_IN_USE",
    StatusCode::CONFLICT,
    GrpcCode::Aborted,
    "a request with this Idempotency-Key is being processed",
)
.about("An earlier attempt is still running. Send the request again after `Retry-After`.");

pub(crate) const IDEMPOTENCY_KEY_REUSED: ErrorCode = ErrorCode::new(
    "IDEMPOTENCY_KEY_REUSED",
    StatusCode::UNPROCESSABLE_ENTITY,
    GrpcCode::FailedPrecondition,
    "this Idempotency-Key was used for another request",
)
.about("A retry must have the same method, address, content type and body. Use a new key for another request.");

pub(crate) const RESPONSE_NOT_STORED: ErrorCode = ErrorCode::new(
    "RESPONSE_NOT_STORED",
    StatusCode::CONFLICT,
    GrpcCode::AlreadyExists,
    "the request was processed, and its response cannot be sent again",
)
.about("The response to the first attempt was a stream or too large to store. The request was processed; do not send it again.");
