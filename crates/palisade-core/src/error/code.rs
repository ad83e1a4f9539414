use http::{HeaderValue, StatusCode, header};

use super::{ApiError, GrpcCode};

/// A machine code, and what it stands for: the constant of which errors are made, and a line in the catalogue.
///
/// ```
/// use http::StatusCode;
/// use palisade_core::{ApiError, ErrorCode, GrpcCode};
///
/// const OUT_OF_STOCK: ErrorCode =
///     ErrorCode::new("OUT_OF_STOCK", StatusCode::CONFLICT, GrpcCode::Aborted, "the shelf is empty");
///
/// let error = ApiError::from(OUT_OF_STOCK);
/// assert_eq!((error.status(), error.code()), (StatusCode::CONFLICT, "OUT_OF_STOCK"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorCode {
    /// `SCREAMING_SNAKE`, and never changed once clients have seen it.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// The gRPC code.
    pub grpc: GrpcCode,
    /// The message, unless an error says something more precise.
    pub message: &'static str,
    /// What it means, for the people who write clients. Empty if the message says it all.
    pub about: &'static str,
}

impl ErrorCode {
    /// A code of your own.
    pub const fn new(
        code: &'static str,
        status: StatusCode,
        grpc: GrpcCode,
        message: &'static str,
    ) -> Self {
        Self { code, status, grpc, message, about: "" }
    }

    /// Says what it means, for the people who write clients.
    #[must_use]
    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }
}

/// Whoever was refused may be let in later, or be somebody else: what is 401 or 403 is not stored by caches.
impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        let error = Self::new(code.status, code.grpc, code.code, code.message);
        match code.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                error.with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
            }
            _ => error,
        }
    }
}
