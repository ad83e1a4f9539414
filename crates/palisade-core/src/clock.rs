use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(not(target_os = "linux"))]
use std::time::Instant;

#[cfg(target_os = "linux")]
use rustix::time::ClockId;

/// The source of time of policies, so that tests need not sleep.
///
/// ```
/// use std::time::Duration;
/// use palisade_core::{Clock, ManualClock};
///
/// let clock = ManualClock::at(Duration::from_secs(1_700_000_000));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.unix(), Duration::from_secs(1_700_000_060));
/// assert_eq!(clock.monotonic(), Duration::from_secs(60));
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the time since the Unix epoch, for dates of other machines, such as in tokens. It may jump.
    fn unix(&self) -> Duration;

    /// Returns the time since the Unix epoch, up to a few milliseconds late if that is cheaper: the system's clock at the last
    /// timer interrupt.
    ///
    /// Default: [`unix`](Self::unix).
    fn unix_coarse(&self) -> Duration {
        self.unix()
    }

    /// Time since a fixed moment in the life of the process. It never runs backwards.
    fn monotonic(&self) -> Duration;

    /// Returns the [`monotonic`](Self::monotonic) time, up to a few milliseconds late if that is cheaper: the system's clock at
    /// the last timer interrupt. It never runs backwards, but may be behind an earlier reading of `monotonic`.
    ///
    /// Default: [`monotonic`](Self::monotonic).
    fn monotonic_coarse(&self) -> Duration {
        self.monotonic()
    }
}

impl fmt::Debug for dyn Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("unix", &self.unix()).finish()
    }
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The system clock, as policies hold it.
    pub fn shared() -> Arc<dyn Clock> {
        static SHARED: OnceLock<Arc<dyn Clock>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| Arc::new(Self)))
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the clock module")]
impl Clock for SystemClock {
    fn unix(&self) -> Duration {
        // A clock set before 1970 counts as 1970: every token is then in the future or expired, never valid by accident.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    #[cfg(target_os = "linux")]
    fn unix_coarse(&self) -> Duration {
        reading(ClockId::RealtimeCoarse)
    }

    #[cfg(target_os = "linux")]
    fn monotonic(&self) -> Duration {
        reading(ClockId::Monotonic).saturating_sub(start())
    }

    #[cfg(not(target_os = "linux"))]
    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    /// 3 ns instead of 24, because the processor's counter is not read.
    #[cfg(target_os = "linux")]
    fn monotonic_coarse(&self) -> Duration {
        // The first readings of the process may be before its start, by a few milliseconds.
        reading(ClockId::MonotonicCoarse).saturating_sub(start())
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn reading(clock: ClockId) -> Duration {
    Duration::try_from(rustix::time::clock_gettime(clock)).unwrap_or_default()
}

/// Returns the time of the first reading of the monotonic clock.
#[cfg(target_os = "linux")]
#[inline]
fn start() -> Duration {
    static START: OnceLock<Duration> = OnceLock::new();
    *START.get_or_init(|| reading(ClockId::Monotonic))
}

/// A clock that a test moves by hand. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    shared: Arc<ManualTime>,
}

#[derive(Debug, Default)]
struct ManualTime {
    unix_at_start: Duration,
    elapsed_nanos: AtomicU64,
}

impl ManualClock {
    /// A clock that starts at this time since the Unix epoch.
    pub fn at(unix: Duration) -> Self {
        Self {
            shared: Arc::new(ManualTime { unix_at_start: unix, elapsed_nanos: AtomicU64::new(0) }),
        }
    }

    /// Moves both hands forward.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.shared.elapsed_nanos.fetch_add(nanos, Ordering::SeqCst);
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.shared.elapsed_nanos.load(Ordering::SeqCst))
    }
}

impl Clock for ManualClock {
    fn unix(&self) -> Duration {
        self.shared.unix_at_start + self.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_time_never_runs_ahead_of_the_system() {
        let clock = SystemClock;
        let read =
            [(clock.unix_coarse(), clock.unix()), (clock.monotonic_coarse(), clock.monotonic())];
        for (coarse, exact) in read {
            assert!(coarse <= exact, "{coarse:?} {exact:?}");
            assert!(exact - coarse < Duration::from_secs(10), "{coarse:?} {exact:?}");
        }
    }

    #[test]
    fn coarse_monotonic_time_advances_and_never_runs_backwards() {
        let clock = SystemClock;
        let begin = clock.monotonic_coarse();
        let mut last = begin;
        while last < begin + Duration::from_millis(20) {
            let now = clock.monotonic_coarse();
            assert!(now >= last, "{last:?} {now:?}");
            last = now;
        }
    }
}
