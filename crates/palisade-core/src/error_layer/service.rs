use std::{
    convert::Infallible,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    config::Config,
    exchange::{Exchange, Settled},
    framework::FrameworkReason,
    reading::Reading,
};
use crate::{
    ApiError, Body, BoxError, BytesBody, BytesResponse, HttpResponse, ReturnsBoxError,
    panics::panicked,
};

/// A service whose failures are responses. Made by [`ErrorLayer`](crate::ErrorLayer).
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

impl<S, ReqB> Service<Request<ReqB>> for ErrorService<S>
where
    S: ReturnsBoxError<ReqB>,
    S::Response: BytesResponse,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = Infallible;
    type Future = ErrorFuture<S, ReqB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.unready = ready!(poll_ready(&mut self.inner, &self.config, cx));
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let (head, body) = request.into_parts();
        let exchange = Exchange::begin(&self.config, &head);
        let state = match self.unready.take() {
            Some(error) => State::Failed { error: Some(error) },
            None => match call(&mut self.inner, Request::from_parts(head, body)) {
                Ok(future) => State::Running { future },
                Err(error) => State::Failed { error: Some(error) },
            },
        };
        ErrorFuture { state, config: Arc::clone(&self.config), exchange }
    }
}

/// Polls a service for readiness. Returns the error that it fails with, by itself or by a panic, and that the next request is
/// answered with.
pub(super) fn poll_ready<S: ReturnsBoxError<B>, B>(
    inner: &mut S,
    config: &Config,
    cx: &mut Context<'_>,
) -> Poll<Option<ApiError>> {
    let polled = catch_unwind(AssertUnwindSafe(|| match inner.poll_ready(cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(ready) => Poll::Ready(ready.err().map(|error| config.api_error(error.into()))),
    }));
    polled.unwrap_or_else(|panic| Poll::Ready(Some(panicked(&*panic))))
}

/// Calls a service. Returns an error if it panics.
#[inline]
pub(super) fn call<S: Service<Request<B>>, B>(
    inner: &mut S,
    request: Request<B>,
) -> Result<S::Future, ApiError> {
    catch_unwind(AssertUnwindSafe(|| inner.call(request))).map_err(|panic| panicked(&*panic))
}

/// What an inner service has answered.
pub(super) enum Answer<B> {
    /// Its own response.
    Own(response::Parts, Body<B>),
    /// An error in place of it.
    Error(response::Parts, Bytes),
    /// An error whose reason is the text of the response.
    MustBeRead(Box<Rejected<B>>),
}

/// A response of the framework whose text is the reason.
pub(super) struct Rejected<B> {
    head: response::Parts,
    error: ApiError,
    reason: FrameworkReason,
    text: Reading<Body<B>>,
}

/// Polls the future of a service. Its errors and its panics are answers.
#[inline]
pub(super) fn poll_answer<F, R, E>(
    future: Pin<&mut F>,
    config: &Config,
    exchange: &mut Exchange,
    cx: &mut Context<'_>,
) -> Poll<Answer<R::Body>>
where
    F: Future<Output = Result<R, E>>,
    R: BytesResponse,
    E: Into<BoxError>,
{
    let polled = catch_unwind(AssertUnwindSafe(|| {
        future.poll(cx).map(|outcome| {
            let response = match outcome {
                Ok(response) => response.into_response(),
                Err(error) => return Answer::error(exchange.failed(config, error.into())),
            };
            let (mut head, body) = response.into_parts();
            let length = || http_body::Body::size_hint(&body).exact();
            match exchange.settle(config, &mut head, length) {
                Settled::Unchanged => Answer::Own(head, body),
                Settled::Replaced(bytes) => Answer::Error(head, bytes),
                Settled::MustBeRead(error, reason) => {
                    let text = Reading::new(body);
                    Answer::MustBeRead(Box::new(Rejected { head, error, reason, text }))
                }
            }
        })
    }));
    polled.unwrap_or_else(|panic| {
        Poll::Ready(Answer::error(exchange.answer(config, panicked(&*panic))))
    })
}

impl<B> Answer<B> {
    pub(super) fn error(response: Response<Bytes>) -> Self {
        let (head, body) = response.into_parts();
        Self::Error(head, body)
    }
}

impl<B: BytesBody> Rejected<B> {
    /// Reads the text, and makes the response an error with it.
    pub(super) fn poll(
        &mut self,
        config: &Config,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<(response::Parts, Bytes)> {
        let (mut head, ()) = Response::new(()).into_parts();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            self.text.poll(cx).map(|outcome| match outcome {
                Ok(text) => {
                    std::mem::swap(&mut head, &mut self.head);
                    let error = self.error.clone();
                    let body = exchange.settle_text(config, &mut head, error, self.reason, &text);
                    (head, body)
                }
                Err(error) => exchange.answer(config, error).into_parts(),
            })
        }));
        polled.unwrap_or_else(|panic| {
            Poll::Ready(exchange.answer(config, panicked(&*panic)).into_parts())
        })
    }
}

pin_project! {
    /// The future of [`ErrorService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ErrorFuture<S, ReqB>
    where
        S: Service<Request<ReqB>>,
        S::Response: HttpResponse,
    {
        #[pin]
        state: State<S, ReqB>,
        config: Arc<Config>,
        exchange: Exchange,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, ReqB>
    where
        S: Service<Request<ReqB>>,
        S::Response: HttpResponse,
    {
        Running { #[pin] future: S::Future },
        Failed { error: Option<ApiError> },
        Reading { of: Box<Rejected<<S::Response as HttpResponse>::Body>> },
    }
}

impl<S, ReqB> fmt::Debug for ErrorFuture<S, ReqB>
where
    S: Service<Request<ReqB>>,
    S::Response: HttpResponse,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorFuture").finish_non_exhaustive()
    }
}

impl<S, ReqB> Future for ErrorFuture<S, ReqB>
where
    S: ReturnsBoxError<ReqB>,
    S::Response: BytesResponse,
{
    type Output = Result<Response<Body<<S::Response as HttpResponse>::Body>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (config, exchange) = (&**this.config, this.exchange);
        loop {
            let (head, body) = match this.state.as_mut().project() {
                StateProj::Running { future } => {
                    match ready!(poll_answer(future, config, exchange, cx)) {
                        Answer::Own(head, body) => (head, body),
                        Answer::Error(head, bytes) => (head, Body::full(bytes)),
                        Answer::MustBeRead(of) => {
                            this.state.set(State::Reading { of });
                            continue;
                        }
                    }
                }
                StateProj::Failed { error } => {
                    let error =
                        error.take().expect("an ErrorFuture was polled after it had completed");
                    let (head, bytes) = exchange.answer(config, error).into_parts();
                    (head, Body::full(bytes))
                }
                StateProj::Reading { of } => {
                    let (head, bytes) = ready!(of.poll(config, exchange, cx));
                    (head, Body::full(bytes))
                }
            };
            return Poll::Ready(Ok(Response::from_parts(head, body)));
        }
    }
}
