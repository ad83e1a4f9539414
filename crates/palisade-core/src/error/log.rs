//! Logs errors.

use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{ApiError, known::chain};
use crate::{RequestId, panics::panicked};

/// Logs an error that has a cause, and any failure of the service, once.
pub(super) fn log(error: &mut ApiError, request_id: Option<&RequestId>) {
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
