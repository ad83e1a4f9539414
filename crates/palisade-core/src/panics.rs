use std::{
    any::Any,
    borrow::Cow,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::ApiError;

/// Runs one step of a policy. If it panics, logs the name of the policy and returns the error for the response.
#[inline]
pub(crate) fn caught<T>(
    policy: impl FnOnce() -> Cow<'static, str>,
    step: impl FnOnce() -> T,
) -> Result<T, ApiError> {
    // Unwind safe: the request is not used any more, and the response is replaced.
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| reported(&policy(), &*panic))
}

/// Logs the panic of a policy, and returns the error for the response.
#[cold]
pub(crate) fn reported(policy: &str, panic: &(dyn Any + Send)) -> ApiError {
    let error = panicked(panic);
    let cause = error.source().map(ToString::to_string);
    tracing::error!(target: "palisade::errors", policy, cause, "a policy panicked");
    error
}

/// Returns the error that a request is answered with after a panic. The log gets the message, the client does not.
#[cold]
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> ApiError {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not a text");
    ApiError::internal().with_source(format!("panicked: {message}"))
}
