use std::{
    any::Any,
    borrow::Cow,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use http::response;

use crate::{ApiError, ErrorContext, LeaveAsIs};

/// Runs one step of a policy. If it panics, returns the error that the request is answered with, and logs which policy
/// panicked.
///
/// Each policy is caught by itself, so that the policies outside of it finish the 500 as they finish any other refusal:
/// a page can read it, and browsers get their security headers.
#[inline]
pub(crate) fn caught<T>(
    policy: impl FnOnce() -> Cow<'static, str>,
    step: impl FnOnce() -> T,
) -> Result<T, ApiError> {
    // What the step has left half done is the request, which goes no further, or the response, which is replaced.
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| reported(&policy(), &*panic))
}

#[cold]
fn reported(policy: &str, panic: &(dyn Any + Send)) -> ApiError {
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

/// Replaces the head of a response whose policy panicked in `finish`, and returns the new body.
///
/// No header of the response is kept: the policy may have panicked before it removed one. The extensions stay, because
/// they contain what other policies want to know of the response's end.
#[cold]
pub(crate) fn replace_head(error: ApiError, response: &mut response::Parts) -> Bytes {
    let rendered = ErrorContext::of_response(response).render(error);
    let (made, body) = rendered.into_parts();
    response.status = made.status;
    response.headers = made.headers;
    response.extensions.remove::<LeaveAsIs>();
    response.extensions.extend(made.extensions);
    body
}
