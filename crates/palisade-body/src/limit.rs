use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use palisade_core::{ApiError, Body, BoxError, ErrorContext, Trail};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{LimitedBody, limited_body::Exceeded};

/// Refuses request bodies over a number of bytes with 413 `PAYLOAD_TOO_LARGE`; exactly the limit passes.
///
/// A declared length over the limit is refused before a byte is read, and the inner service is not called. A body of
/// unknown length is counted as it streams. Once more than the limit was read the refusal is final: a handler that
/// swallows the body's error and answers 200 has its answer replaced. What a handler does not read of a body of unknown
/// length is not counted.
///
/// The inner service gets its request with a [`LimitedBody`]. axum's extractors have a limit of their own, 2 MB; a
/// larger one of ours needs `DefaultBodyLimit::disable()` beside it.
///
/// ```
/// use palisade_body::BodyLimit;
///
/// let layer = BodyLimit::new(1024 * 1024); // 1 MiB
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    limit: u64,
}

impl BodyLimit {
    /// At most `bytes` of body.
    pub fn new(bytes: u64) -> Self {
        Self { limit: bytes }
    }
}

impl<S> Layer<S> for BodyLimit {
    type Service = BodyLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyLimitService { inner, limit: self.limit }
    }
}

/// A service whose requests have limited bodies. Made by [`BodyLimit`].
#[derive(Clone, Debug)]
pub struct BodyLimitService<S> {
    inner: S,
    limit: u64,
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for BodyLimitService<S>
where
    S: Service<Request<LimitedBody<ReqB>>, Response = Response<ResB>>,
    ReqB: http_body::Body<Data = Bytes>,
    ReqB::Error: Into<BoxError>,
{
    type Response = Response<Body<ResB>>;
    type Error = S::Error;
    type Future = BodyLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let hint = request.body().size_hint();
        let declared = declared_length(request.headers()).unwrap_or(0).max(hint.lower());
        if declared > self.limit {
            let context = ErrorContext::of_request(&request);
            let refusal = refuse(&context, request.version());
            return BodyLimitFuture { state: State::Refused { refusal: Some(refusal) } };
        }
        // A server keeps a body to the length that it declares, so only an unknown length has to be watched.
        let watch = if hint.upper().is_some_and(|most| most <= self.limit) {
            None
        } else {
            Some(Watch {
                exceeded: Exceeded::default(),
                context: ErrorContext::of_request(&request),
                version: request.version(),
            })
        };
        let exceeded = watch.as_ref().map(|watch| watch.exceeded.clone());
        let trail = Trail::of(request.extensions()).cloned();
        let request = request.map(|body| LimitedBody::new(body, self.limit, exceeded, trail));
        BodyLimitFuture { state: State::Inner { future: self.inner.call(request), watch } }
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn refuse(context: &ErrorContext, version: Version) -> Response<Bytes> {
    let error = ApiError::payload_too_large();
    context.render(if version <= Version::HTTP_11 {
        // What is left of the body is in the way of the next request (RFC 9110, section 15.5.14).
        error.with_header(header::CONNECTION, HeaderValue::from_static("close"))
    } else {
        error
    })
}

/// What is needed to answer for a body that went over its limit after the request was let in.
struct Watch {
    exceeded: Exceeded,
    context: ErrorContext,
    version: Version,
}

pin_project! {
    /// The future of [`BodyLimitService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct BodyLimitFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Inner { #[pin] future: F, watch: Option<Watch> },
        Refused { refusal: Option<Response<Bytes>> },
    }
}

impl<F> fmt::Debug for BodyLimitFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyLimitFuture").finish_non_exhaustive()
    }
}

impl<F, ResB, E> Future for BodyLimitFuture<F>
where
    F: Future<Output = Result<Response<ResB>, E>>,
{
    type Output = Result<Response<Body<ResB>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Inner { future, watch } => {
                let outcome = ready!(future.poll(cx));
                match watch {
                    Some(watch) if watch.exceeded.is_true() => {
                        Poll::Ready(Ok(refuse(&watch.context, watch.version).map(Body::full)))
                    }
                    _ => Poll::Ready(outcome.map(|response| response.map(Body::new))),
                }
            }
            StateProj::Refused { refusal } => {
                let refusal =
                    refusal.take().expect("a BodyLimitFuture was polled after it had completed");
                Poll::Ready(Ok(refusal.map(Body::full)))
            }
        }
    }
}
