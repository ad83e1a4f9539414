use std::{
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use palisade_core::{AcceptsBody, Body, BoxError, HttpResponse};
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;
use tower_service::Service;
use tracing::Instrument;

use crate::{claimed::Claimed, record::StoredResponse, settle::settle};

/// What the policy has decided about a request with a key.
pub(crate) enum Decided {
    /// Process it, and store its response.
    Process(Claimed),
    /// Send this response again.
    Replay(StoredResponse),
}

/// Passes the decision from the policy to [`Run`], directly inside it. Extensions are cloned; a decision is taken once.
#[derive(Clone)]
pub(crate) struct Pending(Arc<Mutex<Option<Decided>>>);

impl Pending {
    pub(crate) fn new(decided: Decided) -> Self {
        Self(Arc::new(Mutex::new(Some(decided))))
    }

    fn take(&self) -> Option<Decided> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Processes a claimed request on a task of its own, or replays a response. Created by [`Idempotency`](crate::Idempotency).
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Run<S>(pub(crate) S);

type Output<B, E> = Result<Response<Body<B>>, E>;

impl<S, ReqB> Service<Request<ReqB>> for Run<S>
where
    S: AcceptsBody<ReqB>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    S::ResponseBody: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body<S::ResponseBody>>;
    type Error = S::Error;
    type Future = RunFuture<S::Future, S::ResponseBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let decided =
            request.extensions_mut().remove::<Pending>().and_then(|pending| pending.take());
        let state = match decided {
            None => State::Inner { future: self.0.call(request) },
            Some(Decided::Replay(response)) => State::Replay { response: Some(response) },
            Some(Decided::Process(claimed)) => {
                let future = self.0.call(request);
                let process = async move {
                    let response = future.await.map(HttpResponse::into_response)?;
                    Ok(settle(claimed, response).await)
                };
                State::Task { task: tokio::spawn(process.in_current_span()) }
            }
        };
        RunFuture { state }
    }
}

pin_project! {
    /// The future of [`Run`]. Dropping it does not cancel a request that is processed.
    #[doc(hidden)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RunFuture<F, B, E> {
        #[pin]
        state: State<F, B, E>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B, E> {
        Inner { #[pin] future: F },
        Replay { response: Option<StoredResponse> },
        Task { task: JoinHandle<Output<B, E>> },
    }
}

impl<F, B, E> fmt::Debug for RunFuture<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunFuture").finish_non_exhaustive()
    }
}

impl<F, R, B, E> Future for RunFuture<F, B, E>
where
    F: Future<Output = Result<R, E>>,
    R: HttpResponse<Body = B>,
{
    type Output = Output<B, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Inner { future } => {
                Poll::Ready(Ok(ready!(future.poll(cx))?.into_response()))
            }
            StateProj::Replay { response } => {
                let response =
                    response.take().expect("a RunFuture was polled after it had completed");
                Poll::Ready(Ok(replay(response)))
            }
            // A panic of the handler continues here, where the layers outside expect it.
            StateProj::Task { task } => match ready!(Pin::new(task).poll(cx)) {
                Ok(output) => Poll::Ready(output),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    // The runtime shuts down, and drops this future as well.
                    Err(_) => Poll::Pending,
                },
            },
        }
    }
}

fn replay<B>(stored: StoredResponse) -> Response<Body<B>> {
    let body = Body::collected(stored.body, stored.trailers.map(Box::new));
    let mut response = stored.head.map(|()| body);
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}
