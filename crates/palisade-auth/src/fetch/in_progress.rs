use std::{future::Future, marker::PhantomData, time::Duration};

use palisade_core::BoxError;
use tokio::sync::watch;

/// A fetch that runs on a task of its own. Any number of requests wait for its outcome; the fetch continues when they
/// are gone.
#[derive(Clone, Debug)]
pub(crate) struct FetchInProgress<T>(watch::Receiver<Option<T>>);

impl<T: Clone + Send + Sync + 'static> FetchInProgress<T> {
    /// Prepares a fetch: returns the handle to wait with, and the task to spawn.
    ///
    /// `complete` turns the result into the outcome. It is called exactly once: with an error if `fetch` takes longer
    /// than `timeout` or panics, or if the runtime drops the task.
    pub(crate) fn new<R: Send + 'static>(
        fetch: impl Future<Output = Result<R, BoxError>> + Send + 'static,
        timeout: Duration,
        complete: impl FnOnce(Result<R, BoxError>) -> T + Send + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (outcome, receiver) = watch::channel(None);
        let mut completion = Completion { complete: Some(complete), outcome, result: PhantomData };
        let task = async move {
            let result = tokio::time::timeout(timeout, fetch).await;
            let result =
                result.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}").into()));
            completion.finish(result);
        };
        (Self(receiver), task)
    }

    /// Waits for the outcome. Returns `None` only if the fetch was dropped without one.
    pub(crate) async fn outcome(mut self) -> Option<T> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// Completes the fetch on drop, so that no request waits forever if the task is cancelled or panics.
struct Completion<R, T, F: FnOnce(Result<R, BoxError>) -> T> {
    complete: Option<F>,
    outcome: watch::Sender<Option<T>>,
    result: PhantomData<fn(R)>,
}

impl<R, T, F: FnOnce(Result<R, BoxError>) -> T> Completion<R, T, F> {
    fn finish(&mut self, result: Result<R, BoxError>) {
        if let Some(complete) = self.complete.take() {
            self.outcome.send_replace(Some(complete(result)));
        }
    }
}

impl<R, T, F: FnOnce(Result<R, BoxError>) -> T> Drop for Completion<R, T, F> {
    fn drop(&mut self) {
        self.finish(Err("the fetch was cancelled".into()));
    }
}
