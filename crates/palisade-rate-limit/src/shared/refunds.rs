//! Sends refunds to the store, and repeats them until the store accepts them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use palisade_core::BoxError;
use tokio::{runtime::Handle, time::Instant};

use super::client::{StoreClient, shortest_window};
use crate::Refund;

/// The largest number of refunds that are repeated at the same time, about 200 bytes each. Further refunds are sent once.
const MOST_REPEATED: usize = 4096;

/// How long a refund is repeated at most. Stores remember the ids of refunds for longer.
const LONGEST: Duration = Duration::from_secs(60);

/// The first and the longest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The timeout of one attempt.
const TIMEOUT: Duration = Duration::from_secs(2);

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
        let repeated = &self.repeated_refunds;
        let repeats = repeated.fetch_add(1, Ordering::Relaxed) < MOST_REPEATED;
        let window = Duration::from_nanos(shortest_window(&refund.quotas));
        let deadline = Instant::now() + window.min(LONGEST);
        let mut pause = FIRST_PAUSE;
        let lost = loop {
            let attempt = tokio::time::timeout(TIMEOUT, self.store.refund(refund.clone())).await;
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
        repeated.fetch_sub(1, Ordering::Relaxed);
        // The request stays charged: the client gets less than its limit, never more.
        if let Some(error) = lost
            && let Some(failures) = self.refund_log.record(self.clock.monotonic())
        {
            let error = error.as_ref();
            tracing::warn!(
                limit = &*self.limit,
                error,
                failures,
                "refunds were lost: the store did not accept them before their window was over"
            );
        }
    }
}
