use std::time::Duration;

/// When keys are fetched, and how long they are used.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) cache_for: Duration,
    pub(super) cool_down: Duration,
    pub(super) max_stale: Duration,
    pub(super) timeout: Duration,
}
