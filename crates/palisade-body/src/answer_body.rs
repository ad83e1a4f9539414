use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use palisade_core::{ApiError, Body, BoxError, GrpcStream};
use pin_project_lite::pin_project;

use crate::{
    asker::{Asker, Observer},
    codes,
    deadline::Clocks,
    verdict::Verdict,
};

pin_project! {
    /// A response body that breaks off when a limit is exceeded after the head was sent: the request's body, which the
    /// handler is still reading, turns out too long ([`BodyLimit`](crate::BodyLimit)), the response's body does
    /// ([`ResponseLimit`](crate::ResponseLimit)), or it pauses for too long ([`Deadline`](crate::Deadline)).
    ///
    /// Over HTTP/1.1 the connection then closes without the end of the body; over HTTP/2 the stream is reset. A gRPC or
    /// gRPC-web response ends with the status of the error in its trailers instead, such as `RESOURCE_EXHAUSTED` or
    /// `DEADLINE_EXCEEDED`, and with its details.
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
        watch: Option<Watch>,
        ended: bool,
    }
}

#[derive(Debug)]
struct Watch {
    until: Until,
    observer: Observer,
    grpc: Option<Box<GrpcStream>>,
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

pub(crate) type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// Why a response breaks off.
pub(crate) struct Broken {
    pub(crate) error: ApiError,
    /// The body's error, if it is not `error` itself.
    pub(crate) body_error: Option<BoxError>,
}

impl<B> AnswerBody<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, watch: None, ended: false }
    }

    /// Returns a response that breaks off when `until` says so.
    pub(crate) fn until(
        response: Response<B>,
        until: Until,
        asker: &Asker,
    ) -> Response<Body<Self>> {
        let (grpc, observer) = (asker.grpc_stream(response.headers()), asker.observer.clone());
        let watch = Some(Watch { until, observer, grpc });
        response.map(|inner| Body::new(Self { inner, watch, ended: false }))
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
        let Some(Watch { until, observer, grpc }) = this.watch else { return polled };
        // Asked afterwards: the inner body may have read the request's just now, and end as if all were well.
        let Some(Broken { error, body_error }) = until.judge(&polled, cx) else {
            if let (Some(grpc), Poll::Ready(Some(Ok(frame)))) = (grpc, &polled)
                && let Some(data) = frame.data_ref()
            {
                grpc.record_data(data);
            }
            return polled;
        };
        *this.ended = true;
        observer.note(&error);
        let last = match grpc.as_ref().and_then(|grpc| grpc.last_frame(&error)) {
            Some(frame) => Ok(frame),
            None => Err(body_error.unwrap_or_else(|| error.into())),
        };
        Poll::Ready(Some(last))
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        let is_over = self.watch.as_ref().is_some_and(|watch| watch.until.is_over());
        self.ended || !is_over && self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.watch {
            // A server would declare an exact length, and the last frame of an error would not fit it.
            Some(Watch { grpc: Some(_), .. }) => SizeHint::default(),
            _ => self.inner.size_hint(),
        }
    }
}

impl Until {
    fn judge(&mut self, polled: &Polled, cx: &mut Context<'_>) -> Option<Broken> {
        match self {
            Self::Ruling(verdict) => match verdict.poll(cx) {
                Poll::Ready(ruling) => {
                    Some(Broken { error: ruling.error(), body_error: Some(ruling.body_error()) })
                }
                Poll::Pending => None,
            },
            Self::Bytes(left) => {
                let Poll::Ready(Some(Ok(frame))) = polled else { return None };
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                if length > *left {
                    let error = codes::RESPONSE_TOO_LARGE.into();
                    return Some(Broken { error, body_error: None });
                }
                *left -= length;
                None
            }
            Self::Time(clocks) => clocks.judge(polled, cx),
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
