use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use palisade_core::{ApiError, PolledFrame};
use tokio::time::Instant;

use super::body::Pace;
use crate::{alarm::Alarm, broken::Broken};

/// The time limits of a response's body.
#[derive(Debug)]
pub(crate) struct Clocks {
    idle: Option<Alarm>,
    given_up: Option<Alarm>,
    pace: Option<Arc<Pace>>,
}

impl Clocks {
    /// Returns `None` without any limit.
    pub(super) fn new(
        idle: Option<Duration>,
        given_up_at: Option<Instant>,
        pace: Option<Arc<Pace>>,
    ) -> Option<Box<Self>> {
        // A request body that has been dropped cannot become too slow.
        let pace = pace.filter(|pace| Arc::strong_count(pace) > 1);
        let any = idle.is_some() || given_up_at.is_some() || pace.is_some();
        any.then(|| {
            let (idle, given_up) = (idle.map(Alarm::after), given_up_at.map(Alarm::at));
            Box::new(Self { idle, given_up, pace })
        })
    }

    pub(crate) fn judge(&mut self, polled: &PolledFrame, cx: &mut Context<'_>) -> Option<Broken> {
        let rings = |alarm: &mut Option<Alarm>, cx: &mut Context<'_>| {
            alarm.as_mut().is_some_and(|alarm| alarm.poll(cx).is_ready())
        };
        let error = if let Some(pace) = &self.pace
            && let Poll::Ready(fault) = pace.fault_record.poll(cx)
        {
            fault.error()
        } else if let Poll::Ready(frame) = polled {
            if let Some(idle) = &mut self.idle {
                idle.rest();
            }
            // A stream that is always ready never polls the timer. Trailers contain the service's own status.
            let is_data = matches!(frame, Some(Ok(frame)) if frame.is_data());
            if !is_data || !self.given_up.as_ref().is_some_and(Alarm::is_past) {
                return None;
            }
            ApiError::deadline_exceeded()
        } else if rings(&mut self.idle, cx) || rings(&mut self.given_up, cx) {
            ApiError::deadline_exceeded()
        } else {
            return None;
        };
        Some(Broken { error, body_error: None })
    }

    pub(crate) fn are_over(&self) -> bool {
        self.pace.as_ref().is_some_and(|pace| pace.fault_record.fault().is_some())
    }
}
