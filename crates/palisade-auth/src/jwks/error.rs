use std::{error::Error, fmt, sync::Arc, time::Duration};

use palisade_core::{ApiError, BoxError};

use crate::fetch::causes;

/// The error of a key set that could not be loaded. Its [source](Error::source) is the cause.
#[derive(Clone)]
pub struct JwksError {
    from: Arc<str>,
    cause: Arc<dyn Error + Send + Sync>,
}

impl JwksError {
    pub(super) fn new(from: &Arc<str>, cause: impl Into<BoxError>) -> Self {
        Self { from: Arc::clone(from), cause: Arc::from(cause.into()) }
    }

    pub(super) fn causes(&self) -> String {
        causes(&*self.cause)
    }
}

/// Why a fetch brought no keys, and when to retry.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: JwksError,
    pub(super) retry_after: Duration,
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        // Not a 401: the token may be valid.
        Self::unavailable().with_retry_after(failure.retry_after).with_source(failure.error)
    }
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keys of {} could not be loaded", self.from)
    }
}

impl fmt::Debug for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksError").field("from", &self.from).field("cause", &self.cause).finish()
    }
}

impl Error for JwksError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}
