use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use palisade_core::BoxError;
use pin_project_lite::pin_project;

use crate::verdict::Verdict;

pin_project! {
    /// A response body that breaks off when the request's body, which is still being read, turns out too long.
    ///
    /// The head of the response is with the client by then, so there is no other way to tell: over HTTP/1.1 the
    /// connection closes without the end of the body, over HTTP/2 the stream is reset.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full};
    /// use palisade_body::{AnswerBody, BodyLimit};
    /// use palisade_core::Body;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let service = BodyLimit::new(1024).layer(service_fn(|_: Request<_>| async {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::from("hello")))
    /// }));
    /// let response: Response<Body<AnswerBody<Full<Bytes>>>> =
    ///     service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
    /// # });
    /// ```
    #[derive(Debug)]
    pub struct AnswerBody<B> {
        #[pin]
        inner: B,
        verdict: Option<Arc<Verdict>>,
        ended: bool,
    }
}

impl<B> AnswerBody<B> {
    /// It breaks off when there is a ruling.
    pub(crate) fn until(inner: B, verdict: Option<Arc<Verdict>>) -> Self {
        Self { inner, verdict, ended: false }
    }
}

impl<B> http_body::Body for AnswerBody<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let polled = this.inner.poll_frame(cx).map_err(Into::into);
        // Asked afterwards: the inner body may have read the request's just now, and end as if all were well.
        if let Some(verdict) = this.verdict
            && let Poll::Ready(ruling) = verdict.poll(cx)
        {
            *this.ended = true;
            return Poll::Ready(Some(Err(ruling.body_error())));
        }
        polled
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        let ruling = self.verdict.as_ref().and_then(|verdict| verdict.ruling());
        self.ended || ruling.is_none() && self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
