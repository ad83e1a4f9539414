use std::error::Error;

use super::ApiError;

/// Converts your error to an [`ApiError`] for clients. Implement it in addition to [`Error`].
///
/// A handler that returns `Result<_, ApiError>` converts such errors with `?`. The error becomes the
/// [source](ApiError::with_source), which is only logged. [`ErrorLayer::map_type`](crate::ErrorLayer::map_type) converts them
/// if they are the `Err(_)` of a service.
///
/// ```
/// use palisade_core::{ApiError, ErrorCode, ErrorLayer, ToApiError};
///
/// #[derive(Debug)]
/// enum OrderError {
///     NotFound,
///     Database(std::io::Error),
/// }
/// # impl std::fmt::Display for OrderError { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("an order failed") } }
/// # impl std::error::Error for OrderError {}
///
/// impl ToApiError for OrderError {
///     fn to_api_error(&self) -> ApiError {
///         match self {
///             Self::NotFound => ApiError::not_found().with_code("ORDER_NOT_FOUND").with_message("there is no such order"),
///             Self::Database(_) => ApiError::unavailable(),
///         }
///     }
/// }
///
/// fn handler(id: u64) -> Result<&'static str, ApiError> {
///     if id == 7 { Ok("seven") } else { Err(OrderError::NotFound)? }
/// }
/// let error = handler(8).unwrap_err();
/// assert_eq!((error.status().as_u16(), error.code()), (404, "ORDER_NOT_FOUND"));
/// assert!(std::error::Error::source(&error).unwrap().is::<OrderError>());
///
/// let errors = ErrorLayer::new().map_type::<OrderError>();
/// ```
pub trait ToApiError: Error {
    /// Returns the error for clients. Its message must not contain secrets.
    fn to_api_error(&self) -> ApiError;
}

impl<E: ToApiError + Send + Sync + 'static> From<E> for ApiError {
    /// Converts the error, with the error as source.
    fn from(error: E) -> Self {
        let api_error = error.to_api_error();
        match api_error.source() {
            Some(_) => api_error,
            None => api_error.with_source(error),
        }
    }
}
