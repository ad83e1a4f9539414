use std::error::Error;

use super::ApiError;

/// Says what an error of yours is to a client. It stands beside whatever makes it an [`Error`]: `thiserror`, or your
/// own hands.
///
/// A handler that returns `Result<_, ApiError>` takes such errors with `?`, and keeps them as the
/// [source](ApiError::with_source), which the log shows and nobody else. An [`ErrorLayer`](super::ErrorLayer) knows
/// them as the service's `Err(_)` with [`ErrorLayer::map_type`](super::ErrorLayer::map_type).
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
    /// The same, for clients. What it says must be safe to show.
    fn to_api_error(&self) -> ApiError;
}

impl<E: ToApiError + Send + Sync + 'static> From<E> for ApiError {
    /// What the error says of itself, with the error as its source.
    fn from(error: E) -> Self {
        let api_error = error.to_api_error();
        match api_error.source() {
            Some(_) => api_error,
            None => api_error.with_source(error),
        }
    }
}
