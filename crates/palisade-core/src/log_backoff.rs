use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Reduces log lines about continuing failures: one line at once, the next after 1 s, 2 s and so on, up to 64 s. A store that
/// is down logs a few lines instead of one for each request.
///
/// ```
/// use std::time::Duration;
/// use palisade_core::LogBackoff;
///
/// let log = LogBackoff::default();
/// assert_eq!(log.record(Duration::from_millis(0)), Some(1)); // log it
/// assert_eq!(log.record(Duration::from_millis(10)), None);
/// assert_eq!(log.record(Duration::from_millis(999)), None);
/// assert_eq!(log.record(Duration::from_millis(1000)), Some(3)); // three failures since the last line
/// ```
#[derive(Default)]
pub struct LogBackoff(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    /// When the next line may be written.
    next: Duration,
    pause: Duration,
    omitted: u64,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);

impl LogBackoff {
    /// Counts a failure at this time of a [monotonic](crate::Clock::monotonic) clock. Returns how many were counted since
    /// the last line, if a line is due.
    pub fn record(&self, now: Duration) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.omitted = lines.omitted.saturating_add(1);
        if now < lines.next {
            return None;
        }
        // After a quiet time as long as the last pause it starts over.
        let is_over = now >= lines.next.saturating_add(lines.pause);
        lines.pause = if is_over { FIRST_PAUSE } else { (lines.pause * 2).min(LONGEST_PAUSE) };
        lines.next = now.saturating_add(lines.pause);
        Some(std::mem::take(&mut lines.omitted))
    }
}

impl fmt::Debug for LogBackoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBackoff").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_failures_are_logged_less_and_less_often() {
        let log = LogBackoff::default();
        let mut lines = Vec::new();
        for millis in 0..100_000 {
            let omitted = log.record(Duration::from_millis(millis));
            lines.extend(omitted.map(|omitted| (millis, omitted)));
        }
        let times: Vec<u64> = lines.iter().map(|(millis, _)| *millis).collect();
        assert_eq!(times, [0, 1_000, 3_000, 7_000, 15_000, 31_000, 63_000]);
        assert_eq!(lines[2], (3_000, 2_000), "a line counts those without one");
        assert!(log.record(Duration::from_secs(400)).is_some());
        assert!(log.record(Duration::from_secs(401)).is_some(), "from 1 s on again");
    }
}
