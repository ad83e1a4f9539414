use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Clock, SystemClock};

/// The maximum number of lines of one kind within a second.
const LINES_PER_SECOND: u32 = 10;

/// Limits lines of the log that any client can cause, such as those of rejected tokens: 10 of a kind within a second.
///
/// ```
/// use palisade_core::LogSampler;
///
/// static SAMPLER: LogSampler = LogSampler::new();
///
/// if let Some(suppressed) = SAMPLER.sample() {
///     tracing::info!(suppressed, "a ticket was rejected");
/// }
/// ```
#[derive(Debug, Default)]
pub struct LogSampler {
    /// A second of the monotonic clock, and the lines that were written in it: 32 bits each.
    written: AtomicU64,
    suppressed: AtomicU64,
}

impl LogSampler {
    /// Returns a sampler for one kind of line, for a `static`.
    pub const fn new() -> Self {
        Self { written: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// Returns the number of lines that were left out since the last one, if a line may be written now.
    pub fn sample(&self) -> Option<u64> {
        self.sample_at(SystemClock.monotonic().as_secs())
    }

    fn sample_at(&self, second: u64) -> Option<u64> {
        let second = second & u64::from(u32::MAX);
        let next = |state: u64| {
            let lines = if state >> 32 == second { state & u64::from(u32::MAX) } else { 0 };
            (lines < u64::from(LINES_PER_SECOND)).then_some(second << 32 | (lines + 1))
        };
        match self.written.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Some(self.suppressed.swap(0, Ordering::Relaxed)),
            Err(_) => {
                self.suppressed.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_writes_ten_lines_a_second_and_counts_the_rest() {
        let sampler = LogSampler::new();
        let lines =
            |second| (0..1000).filter_map(|_| sampler.sample_at(second)).collect::<Vec<_>>();
        assert_eq!(lines(0), [0; 10]);
        assert_eq!(lines(7), [990, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sampler.sample_at(8), Some(990));
        assert_eq!(sampler.sample_at(8), Some(0));
    }
}
