use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Response;
use palisade_core::{ApiError, Body, HttpResponse};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{Clocks, body::Pace};
use crate::{alarm::Alarm, break_off::Until, responder::Responder};

/// The state that is needed to answer one request.
pub(super) struct Exchange {
    pub(super) responder: Responder,
    /// The time at which the client stops waiting, by its `grpc-timeout`.
    pub(super) given_up_at: Option<Instant>,
    pub(super) response_idle: Option<Duration>,
    pub(super) pace: Option<Arc<Pace>>,
}

impl Exchange {
    fn watch<B>(&mut self, response: Response<Body<B>>) -> Response<Body<B>> {
        let pace = self.pace.take();
        match Clocks::new(self.response_idle, self.given_up_at, pace) {
            Some(clocks) => Until::Time(clocks).applied_to(response, &self.responder),
            None => response,
        }
    }
}

pin_project! {
    /// The future of [`DeadlineService`](super::DeadlineService).
    #[must_use = "futures do nothing unless polled"]
    pub struct DeadlineFuture<F> {
        #[pin]
        state: State<F>,
        alarm: Alarm,
        exchange: Exchange,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Running { #[pin] future: F },
        Done,
    }
}

impl<F> DeadlineFuture<F> {
    pub(super) fn new(future: F, after: Duration, exchange: Exchange) -> Self {
        Self { state: State::Running { future }, alarm: Alarm::after(after), exchange }
    }
}

impl<F> fmt::Debug for DeadlineFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineFuture").field("alarm", &self.alarm).finish_non_exhaustive()
    }
}

impl<F, R, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: HttpResponse,
{
    type Output = Result<Response<Body<R::Body>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let StateProj::Running { future } = this.state.as_mut().project() else {
            panic!("a DeadlineFuture was polled after it had completed")
        };
        let exchange = this.exchange;
        let pace = exchange.pace.as_deref();
        // The service first: where it is ready at once, no timer is touched.
        let error = if let Poll::Ready(outcome) = future.poll(cx) {
            match pace.and_then(|pace| pace.fault_record.fault()) {
                Some(fault) => fault.error(),
                None => {
                    return Poll::Ready(
                        outcome.map(|response| exchange.watch(response.into_response())),
                    );
                }
            }
        } else {
            ready!(this.alarm.poll(cx));
            if pace.is_some_and(Pace::is_waited_for) {
                ApiError::request_timeout()
            } else {
                ApiError::deadline_exceeded()
            }
        };
        // Dropped at once, so that the handler's resources are free before the client gets the response.
        this.state.set(State::Done);
        let refusal = if error.status().is_client_error() {
            exchange.responder.refuse_unread(error)
        } else {
            exchange.responder.refuse(error)
        };
        Poll::Ready(Ok(refusal.map(Body::full)))
    }
}
