//! Refunds are repeated until the store has taken them: a permit that was not used is worth waiting for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use palisade_core::BoxError;
use tokio::{runtime::Handle, time::Instant};

use super::{StoreClient, shortest_window};
use crate::Refund;

/// Refunds of a limit that are repeated at the same time. Each takes about 200 bytes. Above this number a refund is sent
/// once.
const MOST_REPEATED: usize = 4096;

/// How long a refund is repeated, unless its window is over sooner. A store remembers ids for longer.
const LONGEST: Duration = Duration::from_secs(60);

/// How long after the first attempt the second follows, and the longest time between two.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long one attempt waits for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Refunds {
    repeated: AtomicUsize,
}

impl StoreClient {
    /// Returns permits to the store on a task of its own.
    pub(super) fn refund(self: &Arc<Self>, refund: Refund) {
        if refund.amount == 0 {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            tracing::warn!(limit = &*self.limit, "a refund was lost: it needs a tokio runtime");
            return;
        };
        let client = Arc::clone(self);
        let id = client.next_id();
        runtime.spawn(async move { client.repeat(Refund { id, ..refund }).await });
    }

    async fn repeat(&self, refund: Refund) {
        let waiting = &self.refunds.repeated;
        let repeats = waiting.fetch_add(1, Ordering::Relaxed) < MOST_REPEATED;
        let window = Duration::from_nanos(shortest_window(&refund.quotas));
        let deadline = Instant::now() + window.min(LONGEST);
        let mut pause = FIRST_PAUSE;
        let lost = loop {
            let attempt = tokio::time::timeout(PATIENCE, self.store.refund(refund.clone())).await;
            let error: BoxError = match attempt {
                Ok(Ok(())) => break None,
                Ok(Err(error)) => error,
                Err(elapsed) => elapsed.into(),
            };
            if !repeats || Instant::now() + pause >= deadline {
                break Some(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        waiting.fetch_sub(1, Ordering::Relaxed);
        // What was charged stays charged: the client gets less than its limit, never more.
        if let Some(error) = lost
            && let Some(failures) = self.refund_log.record(self.clock.monotonic())
        {
            let error = error.as_ref();
            tracing::warn!(
                limit = &*self.limit,
                error,
                failures,
                "refunds were lost: the store did not take them before their window was over"
            );
        }
    }
}
