use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use palisade_core::{Body, BoxError, HttpResponse};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{ByteSize, break_off::Until, codes, responder::Responder};

/// The name of this layer on trails.
const NAME: &str = "ResponseLimit";

/// Limits the size of response bodies, so that a query without a limit does not become a download.
///
/// A response with a larger declared length becomes a 500 `RESPONSE_TOO_LARGE`, and an error is logged. A response without a
/// declared length is aborted when it exceeds the limit: HTTP/1.1 closes the connection, HTTP/2 resets the stream, and gRPC and
/// gRPC-web end with `RESOURCE_EXHAUSTED`.
///
/// ```
/// use palisade_body::{ByteSize, ResponseLimit};
///
/// let layer = ResponseLimit::new(ByteSize::mb(4));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ResponseLimit {
    limit: u64,
}

impl ResponseLimit {
    /// Sets the maximum size of bodies.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::Full;
    /// use palisade_body::ResponseLimit;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let service = ResponseLimit::new(4).layer(service_fn(|_: Request<()>| async {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("hello")))
    /// }));
    /// let response = service.oneshot(Request::new(())).await.unwrap();
    /// assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    /// # });
    /// ```
    pub fn new(limit: impl Into<ByteSize>) -> Self {
        Self { limit: limit.into().bytes() }
    }
}

impl<S> Layer<S> for ResponseLimit {
    type Service = ResponseLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ResponseLimitService { inner, limit: self.limit }
    }
}

/// A service whose responses are not longer than that. Made by [`ResponseLimit`].
#[derive(Clone, Debug)]
pub struct ResponseLimitService<S> {
    inner: S,
    limit: u64,
}

impl<S, ReqB> Service<Request<ReqB>> for ResponseLimitService<S>
where
    S: Service<Request<ReqB>>,
    S::Response: HttpResponse<Body: http_body::Body<Data = Bytes, Error: Into<BoxError>>>,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = S::Error;
    type Future = ResponseLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let responder = Responder::for_request(&request, NAME);
        let is_head = request.method() == Method::HEAD;
        ResponseLimitFuture {
            future: self.inner.call(request),
            limit: self.limit,
            responder,
            is_head,
        }
    }
}

pin_project! {
    /// The future of [`ResponseLimitService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseLimitFuture<F> {
        #[pin]
        future: F,
        limit: u64,
        responder: Responder,
        is_head: bool,
    }
}

impl<F> fmt::Debug for ResponseLimitFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseLimitFuture").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<F, R, E> Future for ResponseLimitFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: HttpResponse<Body: http_body::Body<Data = Bytes, Error: Into<BoxError>>>,
{
    type Output = Result<Response<Body<R::Body>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?.into_response();
        // Responses to HEAD and 304 declare the length of a body that is not sent.
        let comes = !*this.is_head && response.status() != StatusCode::NOT_MODIFIED;
        let declared = response.headers().get(header::CONTENT_LENGTH).filter(|_| comes);
        let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
        if http_body::Body::size_hint(response.body()).lower().max(declared) > *this.limit {
            return Poll::Ready(Ok(this
                .responder
                .refuse(codes::RESPONSE_TOO_LARGE.into())
                .map(Body::full)));
        }
        Poll::Ready(Ok(Until::Bytes(*this.limit).applied_to(response, this.responder)))
    }
}
