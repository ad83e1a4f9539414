use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use palisade_core::{ApiError, Body, ErrorContext};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;

/// Gives the inner service so long to answer, and answers 504 `DEADLINE_EXCEEDED` itself when the time is up; the
/// handler's future is dropped.
///
/// It ends with the response's head: a stream may go on for as long as it likes. No timer is touched where the inner
/// service answers at once. It needs tokio's timer at run time.
///
/// ```
/// use std::time::Duration;
/// use palisade_body::Deadline;
///
/// let layer = Deadline::new(Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    after: Duration,
}

impl Deadline {
    /// Answers within `after`.
    pub fn new(after: Duration) -> Self {
        Self { after }
    }
}

impl<S> Layer<S> for Deadline {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, after: self.after }
    }
}

/// A service that answers in time. Made by [`Deadline`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    after: Duration,
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for DeadlineService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
{
    type Response = Response<Body<ResB>>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let context = ErrorContext::of_request(&request);
        let state = State::Running { future: self.inner.call(request), alarm: None };
        DeadlineFuture { state, after: self.after, context }
    }
}

pin_project! {
    /// The future of [`DeadlineService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct DeadlineFuture<F> {
        #[pin]
        state: State<F>,
        after: Duration,
        context: ErrorContext,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        // The alarm is set when the inner service does not answer at once.
        Running { #[pin] future: F, alarm: Option<Pin<Box<Sleep>>> },
        Done,
    }
}

impl<F> fmt::Debug for DeadlineFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineFuture").field("after", &self.after).finish_non_exhaustive()
    }
}

impl<F, ResB, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<ResB>, E>>,
{
    type Output = Result<Response<Body<ResB>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let StateProj::Running { future, alarm } = this.state.as_mut().project() else {
            panic!("a DeadlineFuture was polled after it had completed")
        };
        if let Poll::Ready(outcome) = future.poll(cx) {
            return Poll::Ready(outcome.map(|response| response.map(Body::new)));
        }
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep(*this.after)));
        if alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // Dropped here and now: what the handler holds is free before the client hears of it.
        this.state.set(State::Done);
        let refusal = this.context.render(ApiError::deadline_exceeded());
        Poll::Ready(Ok(refusal.map(Body::full)))
    }
}
