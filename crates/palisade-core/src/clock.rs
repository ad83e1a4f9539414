use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

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
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Duration::try_from(time).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
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
        let (coarse, exact) = (clock.unix_coarse(), clock.unix());
        assert!(coarse <= exact, "{coarse:?} {exact:?}");
        assert!(exact - coarse < Duration::from_secs(10), "{coarse:?} {exact:?}");
    }
}
