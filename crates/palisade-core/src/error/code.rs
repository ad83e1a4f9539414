use http::{HeaderValue, StatusCode, header};

use super::{ApiError, GrpcCode};

/// A machine code with its properties: a constant for creating errors, and a line of the catalogue.
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
    /// The default message.
    pub message: &'static str,
    /// The description for authors of clients. Empty if the message is enough.
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

    /// Sets the description for authors of clients.
    #[must_use]
    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }
}

/// Creates an error with this code. Caches must not store a 401 or 403, because it depends on the caller and the time.
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
