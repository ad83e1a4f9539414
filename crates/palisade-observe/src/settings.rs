use std::sync::Arc;

use palisade_core::Clock;

use crate::{
    AccessLog, Explain, RequestIds, RequestReport, access_log, methods::GrpcMethods,
    trace_context::Continue,
};

/// Receives the report of each request.
pub(crate) type Reporter = dyn Fn(&RequestReport) + Send + Sync;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) ids: RequestIds,
    pub(crate) traces: Continue,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) explain: Option<Explain>,
    pub(crate) reporters: Vec<Arc<Reporter>>,
    pub(crate) methods: Arc<GrpcMethods>,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: bool,
}

impl Settings {
    /// Returns true if any output is enabled.
    pub(crate) fn are_wanted(&self) -> bool {
        #[cfg(feature = "metrics")]
        if self.metrics {
            return true;
        }
        !self.reporters.is_empty() || self.access_log.is_some() && access_log::is_enabled()
    }
}
