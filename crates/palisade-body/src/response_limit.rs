use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use palisade_core::{ApiError, Body, BoxError, Trail};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{ByteSize, asker::Asker, codes};

/// What this layer is called on a trail.
const NAME: &str = "ResponseLimit";

/// Keeps responses to a number of bytes, so that a query without a limit does not become a download.
///
/// A response that says that it is longer becomes a 500 `RESPONSE_TOO_LARGE` before its head is sent, and an error in the
/// log. One that does not say, and goes over as it streams, breaks off: HTTP/1.1 closes the connection, HTTP/2 resets
/// the stream. There is no such limit unless this layer is there.
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

impl<S, ReqB, ResB> Service<Request<ReqB>> for ResponseLimitService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    ResB: http_body::Body<Data = Bytes>,
    ResB::Error: Into<BoxError>,
{
    type Response = Response<Body<LimitedAnswer<ResB>>>;
    type Error = S::Error;
    type Future = ResponseLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let asker = Asker::of(&request);
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

impl<F, ResB, E> Future for ResponseLimitFuture<F>
where
    F: Future<Output = Result<Response<ResB>, E>>,
    ResB: http_body::Body<Data = Bytes>,
    ResB::Error: Into<BoxError>,
{
    type Output = Result<Response<Body<LimitedAnswer<ResB>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?;
        // The length of an answer to HEAD, or of what has not changed, is that of a body that does not come.
        let comes = !*this.is_head && response.status() != StatusCode::NOT_MODIFIED;
        let declared = response.headers().get(header::CONTENT_LENGTH).filter(|_| comes);
        let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
        if response.body().size_hint().lower().max(declared) > *this.limit {
            return Poll::Ready(Ok(this.asker.refuse(NAME, too_large()).map(Body::full)));
        }
        let (left, trail) = (*this.limit, this.asker.take_trail());
        Poll::Ready(Ok(
            response.map(|inner| Body::new(LimitedAnswer { inner, left, trail, over: false }))
        ))
    }
}

#[cold]
fn too_large() -> ApiError {
    codes::RESPONSE_TOO_LARGE.into()
}

pin_project! {
    /// A response body that breaks off when more bytes come than [`ResponseLimit`] allows. No byte beyond them is sent.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use palisade_body::{LimitedAnswer, ResponseLimit};
    /// use palisade_core::Body;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let service = ResponseLimit::new(1024).layer(service_fn(|_: Request<()>| async {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::from("hello")))
    /// }));
    /// let response: Response<Body<LimitedAnswer<Full<Bytes>>>> =
    ///     service.oneshot(Request::new(())).await.unwrap();
    /// # });
    /// ```
    #[derive(Debug)]
    pub struct LimitedAnswer<B> {
        #[pin]
        inner: B,
        left: u64,
        trail: Option<Trail>,
        over: bool,
    }
}

impl<B> http_body::Body for LimitedAnswer<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.over {
            return Poll::Ready(None);
        }
        let frame = ready!(this.inner.poll_frame(cx).map_err(Into::<BoxError>::into)?);
        let length = frame.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        match this.left.checked_sub(length) {
            Some(left) => {
                *this.left = left;
                Poll::Ready(frame.map(Ok))
            }
            None => {
                *this.over = true;
                let error = too_large();
                if let Some(trail) = this.trail {
                    trail.note_refusal(NAME, &error);
                }
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
