use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is created at the first poll.
pub(crate) struct Alarm {
    rings: RingTime,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

enum RingTime {
    /// This time after the first poll, or the first poll after a [`rest`](Alarm::rest).
    After(Duration),
    At(Instant),
}

impl Alarm {
    pub(crate) fn after(time: Duration) -> Self {
        Self { rings: RingTime::After(time), timer: None, armed: false }
    }

    pub(crate) fn at(instant: Instant) -> Self {
        Self { rings: RingTime::At(instant), timer: None, armed: false }
    }

    /// Completes when the alarm rings.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.timer {
            Some(timer) if self.armed => timer,
            timer => {
                self.armed = true;
                let at = match self.rings {
                    // A time beyond the range of the clock means never, which `sleep` limits to about thirty years.
                    RingTime::After(time) => {
                        Instant::now().checked_add(time).unwrap_or_else(|| Instant::now() + NEVER)
                    }
                    RingTime::At(instant) => instant,
                };
                match timer {
                    Some(timer) => {
                        timer.as_mut().reset(at);
                        timer
                    }
                    None => timer.insert(Box::pin(sleep_until(at))),
                }
            }
        };
        timer.as_mut().poll(cx)
    }

    /// Returns true if the alarm is at an instant that has passed. Reads the clock and touches no timer.
    pub(crate) fn is_past(&self) -> bool {
        matches!(self.rings, RingTime::At(instant) if instant <= Instant::now())
    }

    /// Stops the alarm. The time starts again with the next poll.
    #[inline]
    pub(crate) fn rest(&mut self) {
        self.armed = false;
    }
}

const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("armed", &self.armed).finish_non_exhaustive()
    }
}
