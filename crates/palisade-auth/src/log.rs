//! Logs rejected credentials.

/// Logs why credentials are rejected: at level INFO up to ten times a second for each kind of rejection, and else at DEBUG. A
/// client can cause as many as it likes. No field may contain a credential.
macro_rules! log_rejection {
    ($($fields:tt)*) => {{
        static SAMPLER: palisade_core::LogSampler = palisade_core::LogSampler::new();
        match SAMPLER.sample() {
            Some(suppressed) => tracing::info!(target: "palisade::auth", suppressed, $($fields)*),
            None => tracing::debug!(target: "palisade::auth", $($fields)*),
        }
    }};
}
