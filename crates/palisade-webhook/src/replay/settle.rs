use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Request;
use palisade_core::{BoxError, BoxFuture, HttpResponse};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Reservation;

/// Passes a reservation from the policy to [`Settle`], directly inside it. Extensions are cloned; a reservation is taken
/// once.
#[derive(Clone)]
pub(crate) struct Pending(Arc<Mutex<Option<Box<dyn Reservation>>>>);

impl Pending {
    pub(crate) fn new(reservation: Box<dyn Reservation>) -> Self {
        Self(Arc::new(Mutex::new(Some(reservation))))
    }

    fn take(&self) -> Option<Box<dyn Reservation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Confirms a delivery after the inner service returned 2xx. Created by [`Webhook`](crate::Webhook).
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Settle<S>(pub(crate) S);

impl<S, ReqB> Service<Request<ReqB>> for Settle<S>
where
    S: Service<Request<ReqB>>,
    S::Response: HttpResponse,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SettleFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let reservation =
            request.extensions_mut().remove::<Pending>().and_then(|pending| pending.take());
        SettleFuture { state: State::Inner { future: self.0.call(request), reservation } }
    }
}

pin_project! {
    /// The future of [`Settle`].
    #[doc(hidden)]
    #[must_use = "futures do nothing unless polled"]
    pub struct SettleFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        // A future that fails or is dropped drops the reservation, which releases the claim.
        Inner { #[pin] future: F, reservation: Option<Box<dyn Reservation>> },
        Confirming { confirmed: BoxFuture<Result<(), BoxError>>, response: Option<R> },
    }
}

impl<F, R> fmt::Debug for SettleFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for SettleFuture<F, R>
where
    F: Future<Output = Result<R, E>>,
    R: HttpResponse,
{
    type Output = Result<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Inner { future, reservation } => {
                    let response = ready!(future.poll(cx))?;
                    match reservation.take().filter(|_| response.status().is_success()) {
                        Some(reservation) => State::Confirming {
                            confirmed: reservation.complete(Bytes::new()),
                            response: Some(response),
                        },
                        None => return Poll::Ready(Ok(response)),
                    }
                }
                StateProj::Confirming { confirmed, response } => {
                    // The delivery was processed, so the sender gets the response, also if the store failed. That failure
                    // is logged by the store.
                    let _ = ready!(confirmed.as_mut().poll(cx));
                    let response = response.take();
                    return Poll::Ready(Ok(
                        response.expect("a SettleFuture was polled after it had completed")
                    ));
                }
            };
            this.state.set(next);
        }
    }
}
