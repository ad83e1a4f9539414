use std::{
    convert::Infallible,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    ApiError,
    exchange::{Exchange, Settled},
    framework::FrameworkReason,
    layer::Config,
    reading::Reading,
};
use crate::{Body, BoxError, panics::panicked};

/// A service whose failures are responses. Made by [`ErrorLayer`](super::ErrorLayer).
#[derive(Debug)]
pub struct ErrorService<S> {
    inner: S,
    config: Arc<Config>,
    /// Why the inner service is not ready and will not be; the next call answers with it.
    unready: Option<ApiError>,
}

impl<S> ErrorService<S> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config, unready: None }
    }
}

impl<S: Clone> Clone for ErrorService<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.config))
    }
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for ErrorService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    S::Error: Into<BoxError>,
    ResB: http_body::Body<Data = Bytes>,
{
    type Response = Response<Body<ResB>>;
    type Error = Infallible;
    type Future = ErrorFuture<S::Future, ResB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let polled = match catch_unwind(AssertUnwindSafe(|| self.inner.poll_ready(cx))) {
            Ok(polled) => polled.map_err(|error| self.config.api_error(error.into())),
            Err(panic) => Poll::Ready(Err(panicked(&*panic))),
        };
        polled.map(|ready| {
            self.unready = ready.err();
            Ok(())
        })
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let (exchange, request) = Exchange::begin(&self.config, request);
        let state = match self.unready.take() {
            Some(error) => State::Failed { error: Some(error) },
            None => match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
                Ok(future) => State::Running { future },
                Err(panic) => State::Failed { error: Some(panicked(&*panic)) },
            },
        };
        ErrorFuture { state, exchange }
    }
}

pin_project! {
    /// The future of [`ErrorService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ErrorFuture<F, B> {
        #[pin]
        state: State<F, B>,
        exchange: Exchange,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B> {
        Running { #[pin] future: F },
        Failed { error: Option<ApiError> },
        /// A response of the framework whose text is the reason.
        Reading { of: Box<Rejected<B>> },
    }
}

struct Rejected<B> {
    head: Response<()>,
    error: ApiError,
    reason: FrameworkReason,
    text: Reading<B>,
}

impl<F, B> fmt::Debug for ErrorFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorFuture").finish_non_exhaustive()
    }
}

impl<F, ResB, E> Future for ErrorFuture<F, ResB>
where
    F: Future<Output = Result<Response<ResB>, E>>,
    ResB: http_body::Body<Data = Bytes>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Body<ResB>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let exchange = this.exchange;
        loop {
            let polled = match this.state.as_mut().project() {
                StateProj::Running { future } => catch_unwind(AssertUnwindSafe(|| future.poll(cx)))
                    .map(|poll| {
                        poll.map(|outcome| match outcome {
                            Ok(response) => exchange.settle(response),
                            Err(error) => Settled::Done(exchange.failed(error.into())),
                        })
                    }),
                StateProj::Failed { error } => {
                    let error =
                        error.take().expect("an ErrorFuture was polled after it had completed");
                    Ok(Poll::Ready(Settled::Done(exchange.answer(error))))
                }
                StateProj::Reading { of } => {
                    let Rejected { head, error, reason, text } = &mut **of;
                    catch_unwind(AssertUnwindSafe(|| text.poll(cx))).map(|poll| {
                        poll.map(|outcome| match outcome {
                            Ok(text) => {
                                let (head, error) = (std::mem::take(head), error.clone());
                                Settled::Done(exchange.settle_text(head, error, *reason, &text))
                            }
                            Err(error) => Settled::Done(exchange.answer(error)),
                        })
                    })
                }
            };
            match polled {
                Err(panic) => return Poll::Ready(Ok(exchange.answer(panicked(&*panic)))),
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Settled::Done(response))) => return Poll::Ready(Ok(response)),
                Ok(Poll::Ready(Settled::MustBeRead(response, error, reason))) => {
                    let (head, body) = response.into_parts();
                    let (head, text) = (Response::from_parts(head, ()), Reading::new(body));
                    let of = Box::new(Rejected { head, error, reason, text });
                    this.state.set(State::Reading { of });
                }
            }
        }
    }
}
