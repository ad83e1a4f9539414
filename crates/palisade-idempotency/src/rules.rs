use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, Method, request};
use palisade_claims::ClaimStore;
use palisade_core::{BoxError, Clock, LogBackoff};

/// Returns the scope of a request's key, or `None` to reject the request.
pub(crate) type CustomScope = Arc<dyn Fn(&request::Parts) -> Option<String> + Send + Sync>;

/// The settings of an [`Idempotency`](crate::Idempotency) layer.
pub(crate) struct Rules {
    pub(crate) store: Arc<dyn ClaimStore>,
    pub(crate) methods: Vec<Method>,
    pub(crate) required: bool,
    pub(crate) strict: bool,
    pub(crate) keep: Duration,
    pub(crate) max_request: usize,
    pub(crate) max_response: usize,
    pub(crate) replayed_headers: Option<Arc<[HeaderName]>>,
    pub(crate) store_server_errors: bool,
    pub(crate) scope: Option<CustomScope>,
    pub(crate) runs_when_store_fails: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) failures: LogBackoff,
    pub(crate) unstored: LogBackoff,
}

impl Rules {
    /// Logs that a response could not be stored.
    pub(crate) fn log_unstored(&self, error: &BoxError) {
        if let Some(responses) = self.unstored.record(self.clock.monotonic()) {
            tracing::warn!(
                target: "palisade::idempotency",
                %error,
                responses,
                "a request was processed, and its response is not stored yet"
            );
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("methods", &self.methods)
            .field("required", &self.required)
            .field("strict_keys", &self.strict)
            .field("keep", &self.keep)
            .field("max_request_body", &self.max_request)
            .field("max_response_body", &self.max_response)
            .field("replayed_headers", &self.replayed_headers)
            .field("store_server_errors", &self.store_server_errors)
            .field("insecure_run_when_store_fails", &self.runs_when_store_fails)
            .finish_non_exhaustive()
    }
}
