use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use palisade_core::{ApiError, BoxError};
use pin_project_lite::pin_project;

use crate::{asker::Observer, codes, deadline::Clocks, verdict::Verdict};

pin_project! {
    /// A response body that breaks off when a limit says so that nobody could know of before the head was sent: the
    /// request's body, which is still being read, turns out too long ([`BodyLimit`](crate::BodyLimit)), the response's
    /// own does ([`ResponseLimit`](crate::ResponseLimit)), or it pauses for too long ([`Deadline`](crate::Deadline)).
    ///
    /// The head of the response is with the client by then, so there is no other way to tell: over HTTP/1.1 the
    /// connection closes without the end of the body, over HTTP/2 the stream is reset. Time that is up ends a gRPC stream
    /// with `DEADLINE_EXCEEDED` in its trailers.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
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
        watch: Option<(Until, Observer)>,
        ended: bool,
    }
}

/// When a response breaks off.
#[derive(Debug)]
pub(crate) enum Until {
    Ruling(Arc<Verdict>),
    /// More than so many bytes come.
    Bytes(u64),
    // Larger than all else, and rarely there.
    Time(Box<Clocks>),
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// Why a response breaks off, and with what, if not with that error.
pub(crate) struct Broken {
    pub(crate) error: ApiError,
    pub(crate) last: Option<Result<Frame<Bytes>, BoxError>>,
}

impl<B> AnswerBody<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, watch: None, ended: false }
    }

    pub(crate) fn until(inner: B, until: Until, observer: Observer) -> Self {
        Self { inner, watch: Some((until, observer)), ended: false }
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
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let polled = this.inner.poll_frame(cx).map_err(Into::into);
        let Some((until, observer)) = this.watch else { return polled };
        // Asked afterwards: the inner body may have read the request's just now, and end as if all were well.
        let Some(Broken { error, last }) = until.judge(&polled, cx) else { return polled };
        *this.ended = true;
        observer.note(&error);
        Poll::Ready(Some(last.unwrap_or_else(|| Err(error.into()))))
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        let is_over = self.watch.as_ref().is_some_and(|(until, _)| until.is_over());
        self.ended || !is_over && self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Until {
    fn judge(&mut self, polled: &Polled, cx: &mut Context<'_>) -> Option<Broken> {
        match self {
            Self::Ruling(verdict) => match verdict.poll(cx) {
                Poll::Ready(ruling) => {
                    Some(Broken { error: ruling.error(), last: Some(Err(ruling.body_error())) })
                }
                Poll::Pending => None,
            },
            Self::Bytes(left) => {
                let Poll::Ready(Some(Ok(frame))) = polled else { return None };
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                if length > *left {
                    return Some(Broken { error: codes::RESPONSE_TOO_LARGE.into(), last: None });
                }
                *left -= length;
                None
            }
            Self::Time(clocks) => clocks.judge(polled.is_ready(), cx),
        }
    }

    /// It will break off the next time that it is asked, although the body may say that it has ended.
    fn is_over(&self) -> bool {
        match self {
            Self::Ruling(verdict) => verdict.ruling().is_some(),
            Self::Bytes(_) => false,
            Self::Time(clocks) => clocks.are_over(),
        }
    }
}
