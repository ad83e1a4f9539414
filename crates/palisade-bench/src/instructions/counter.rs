//! The processor's counter of user instructions.

/// Counts the user instructions of the current thread.
pub(crate) struct Counter {
    #[cfg(target_os = "linux")]
    counter: perf_event::Counter,
}

#[cfg(target_os = "linux")]
impl Counter {
    /// Fails if the system does not allow it, or has no such counter, as in many virtual machines.
    pub(crate) fn new() -> Result<Self, String> {
        let counter = perf_event::Builder::new(perf_event::events::Hardware::INSTRUCTIONS)
            .exclude_kernel(true)
            .exclude_hv(true)
            .build()
            .map_err(|error| format!("perf_event_open: {error}"))?;
        Ok(Self { counter })
    }

    /// Returns the instructions of `run`.
    pub(crate) fn count(&mut self, run: impl FnOnce()) -> Result<u64, String> {
        let failed = |error: std::io::Error| format!("perf_event_open: {error}");
        self.counter.reset().map_err(failed)?;
        self.counter.enable().map_err(failed)?;
        run();
        self.counter.disable().map_err(failed)?;
        self.counter.read().map_err(failed)
    }
}

#[cfg(not(target_os = "linux"))]
impl Counter {
    pub(crate) fn new() -> Result<Self, String> {
        Err("this system has no perf_event_open".to_owned())
    }

    pub(crate) fn count(&mut self, _: impl FnOnce()) -> Result<u64, String> {
        Err("this system has no perf_event_open".to_owned())
    }
}
