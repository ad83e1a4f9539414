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

use crate::{ByteSize, asker::Asker, break_off::Until, codes};

/// What this layer is called on a trail.
const NAME: &str = "ResponseLimit";

/// Keeps responses to a number of bytes, so that a query without a limit does not become a download.
///
/// A response that says that it is longer becomes a 500 `RESPONSE_TOO_LARGE` before its head is sent, and an error in the
/// log. One that does not say, and goes over as it streams, breaks off: HTTP/1.1 closes the connection, HTTP/2 resets
/// the stream. A gRPC or gRPC-web response ends with `RESOURCE_EXHAUSTED` instead. Default: no limit.
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
    /// At most so many bytes of body.
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
        let asker = Asker::of(&request, NAME);
        let is_head = request.method() == Method::HEAD;
        ResponseLimitFuture { future: self.inner.call(request), limit: self.limit, asker, is_head }
    }
}

pin_project! {
    /// The future of [`ResponseLimitService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseLimitFuture<F> {
        #[pin]
        future: F,
        limit: u64,
        asker: Asker,
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
        // The length of an answer to HEAD, or of what has not changed, is that of a body that does not come.
        let comes = !*this.is_head && response.status() != StatusCode::NOT_MODIFIED;
        let declared = response.headers().get(header::CONTENT_LENGTH).filter(|_| comes);
        let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
        if http_body::Body::size_hint(response.body()).lower().max(declared) > *this.limit {
            return Poll::Ready(Ok(this
                .asker
                .refuse(codes::RESPONSE_TOO_LARGE.into())
                .map(Body::full)));
        }
        Poll::Ready(Ok(Until::Bytes(*this.limit).applied_to(response, this.asker)))
    }
}
