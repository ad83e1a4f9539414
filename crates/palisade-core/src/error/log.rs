//! Logs errors.

use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use http::Extensions;

use super::{ApiError, known::chain};
use crate::{BoxError, RequestId, panics::panicked};

impl ApiError {
    /// Returns a 500 for a misconfigured service, such as a handler that extracts the caller on a route without authentication.
    /// Logs `remedy` at once, because an extractor does not know whether there is an outer [`ErrorLayer`](crate::ErrorLayer)
    /// that logs failures.
    ///
    /// ```
    /// use palisade_core::ApiError;
    ///
    /// let (head, ()) = http::Request::new(()).into_parts();
    /// let error = ApiError::report_misconfiguration(
    ///     &head.extensions,
    ///     "a handler takes a `Tenant`, and its route has no `TenantLayer`: add `.layer(TenantLayer)`",
    /// );
    /// assert_eq!((error.status().as_u16(), error.message()), (500, "internal error"));
    /// ```
    #[must_use]
    pub fn report_misconfiguration(request: &Extensions, remedy: impl Into<BoxError>) -> Self {
        let mut error = Self::internal().with_source(remedy);
        log(&mut error, request.get());
        error
    }
}

/// Logs an error that has a cause, and any failure of the service, once.
pub(crate) fn log(error: &mut ApiError, request_id: Option<&RequestId>) {
    let is_failure = error.status().is_server_error();
    if error.is_logged() || !is_failure && error.source().is_none() {
        return;
    }
    error.set_logged();
    let error = &*error;
    // The `Display` of the user's error may panic.
    let in_words = || error.source().map(|cause| Chain(cause).to_string());
    let cause = || {
        catch_unwind(AssertUnwindSafe(in_words))
            .unwrap_or_else(|panic| panicked(&*panic).source().map(ToString::to_string))
    };
    // The level of an event is part of its constant description.
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                target: "palisade::errors",
                status = error.status().as_u16(),
                code = error.code(),
                request_id = request_id.map(RequestId::as_str),
                cause = cause(),
                "{}",
                error.message(),
            )
        };
    }
    if is_failure {
        event!(error);
    } else {
        event!(info);
    }
}

/// An error and its sources on one line.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, error) in chain(self.0).enumerate() {
            let separator = if depth == 0 { "" } else { ": " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}
