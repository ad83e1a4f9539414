use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Request;
use palisade_core::RequestId;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use crate::TraceContext;

/// Runs the inner service in a `tracing` span with the ids of the request: `request_id`, `trace_id`, `span_id` and `method`, at
/// level INFO, target `palisade::request`.
///
/// Place it directly inside [`Observe`](crate::Observe) or [`RequestIds`](crate::RequestIds), which set the ids. The span ends
/// with the response's head; it does not cover the streaming body.
///
/// ```
/// use palisade_observe::{Observe, RequestSpan};
/// use tower::ServiceBuilder;
///
/// let builder = ServiceBuilder::new().layer(Observe::new().layer()).layer(RequestSpan);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestSpan;

impl<S> Layer<S> for RequestSpan {
    type Service = RequestSpanService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestSpanService { inner }
    }
}

/// A service whose requests have a span each. Made by [`RequestSpan`].
#[derive(Clone, Debug)]
pub struct RequestSpanService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for RequestSpanService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RequestSpanFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let trace = request.extensions().get::<TraceContext>();
        let span = tracing::info_span!(
            target: "palisade::request",
            "request",
            request_id = request.extensions().get().map(RequestId::as_str),
            trace_id = trace.map(|trace| display(trace.trace_id())),
            span_id = trace.map(|trace| display(trace.span_id())),
            method = request.method().as_str(),
        );
        let future = span.in_scope(|| self.inner.call(request));
        RequestSpanFuture { future, span }
    }
}

pin_project! {
    /// The future of [`RequestSpanService`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RequestSpanFuture<F> {
        #[pin]
        future: F,
        span: Span,
    }
}

impl<F: Future> Future for RequestSpanFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _inside = this.span.enter();
        this.future.poll(cx)
    }
}
