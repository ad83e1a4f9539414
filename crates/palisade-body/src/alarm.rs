use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is not touched before there is something to wait for.
pub(crate) struct Alarm {
    rings: Rings,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

enum Rings {
    /// So long after it was first asked, or first asked after a [`rest`](Alarm::rest).
    After(Duration),
    At(Instant),
}

impl Alarm {
    pub(crate) fn after(time: Duration) -> Self {
        Self { rings: Rings::After(time), timer: None, armed: false }
    }

    pub(crate) fn at(instant: Instant) -> Self {
        Self { rings: Rings::At(instant), timer: None, armed: false }
    }

    /// Ready once it rings.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.timer {
            Some(timer) if self.armed => timer,
            timer => {
                self.armed = true;
                let at = match self.rings {
                    // Too far away for the clock is for ever, which `sleep` knows as some thirty years.
                    Rings::After(time) => Instant::now()
                        .checked_add(time)
                        .unwrap_or_else(|| Instant::now() + FOR_EVER),
                    Rings::At(instant) => instant,
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
        matches!(self.rings, Rings::At(instant) if instant <= Instant::now())
    }

    /// What was waited for is here: the time begins anew with the next wait.
    #[inline]
    pub(crate) fn rest(&mut self) {
        self.armed = false;
    }
}

const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 86_400);

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("armed", &self.armed).finish_non_exhaustive()
    }
}
