use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use palisade_core::{Body, HttpResponse};
use pin_project_lite::pin_project;

use crate::{break_off::Until, fault::FaultRecord, responder::Responder};

/// The state that is needed to reject a body that exceeds its limits.
pub(super) struct Watch {
    pub(super) fault_record: Arc<FaultRecord>,
    pub(super) responder: Responder,
}

pin_project! {
    /// The future of [`DecompressionService`](super::DecompressionService).
    #[must_use = "futures do nothing unless polled"]
    pub struct DecompressionFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Inner { #[pin] future: F, watch: Option<Box<Watch>> },
        Refused { refusal: Option<Response<Bytes>> },
    }
}

impl<F> DecompressionFuture<F> {
    pub(super) fn inner(future: F, watch: Option<Box<Watch>>) -> Self {
        Self { state: State::Inner { future, watch } }
    }

    pub(super) fn refused(refusal: Response<Bytes>) -> Self {
        Self { state: State::Refused { refusal: Some(refusal) } }
    }
}

impl<F> fmt::Debug for DecompressionFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecompressionFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for DecompressionFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: HttpResponse,
{
    type Output = Result<Response<Body<R::Body>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Inner { future, watch } => {
                let outcome = ready!(future.poll(cx)).map(HttpResponse::into_response);
                let Some(watch) = watch.take() else {
                    return Poll::Ready(outcome);
                };
                let Watch { fault_record, responder } = *watch;
                if let Some(fault) = fault_record.fault() {
                    let refusal = responder.refuse_unread(fault.error());
                    return Poll::Ready(Ok(refusal.map(Body::full)));
                }
                let until = Until::BodyFault(fault_record);
                Poll::Ready(outcome.map(|response| until.applied_to(response, &responder)))
            }
            StateProj::Refused { refusal } => {
                let refusal = refusal
                    .take()
                    .expect("a DecompressionFuture was polled after it had completed");
                Poll::Ready(Ok(refusal.map(Body::full)))
            }
        }
    }
}
