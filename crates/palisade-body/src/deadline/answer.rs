use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use palisade_core::{ApiError, BoxError, GrpcCode, Trail};
use pin_project_lite::pin_project;

use super::{NAME, body::Pace, future::Exchange};
use crate::alarm::Alarm;

pin_project! {
    /// A response body that may pause only for so long, as its [`Deadline`](crate::Deadline) says.
    ///
    /// It breaks off with an error; over gRPC it ends with `DEADLINE_EXCEEDED` in its trailers.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use palisade_body::{Deadline, TimedAnswer};
    /// use palisade_core::Body;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let service = Deadline::new(Duration::from_secs(10)).layer(service_fn(|_: Request<_>| async {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::from("hello")))
    /// }));
    /// let response: Response<Body<TimedAnswer<Full<Bytes>>>> =
    ///     service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
    /// # });
    /// ```
    #[derive(Debug)]
    pub struct TimedAnswer<B> {
        #[pin]
        inner: B,
        idle: Option<Alarm>,
        given_up: Option<Alarm>,
        pace: Option<Arc<Pace>>,
        trail: Option<Trail>,
        is_grpc: bool,
        ended: bool,
    }
}

impl<B> TimedAnswer<B> {
    pub(super) fn new(inner: B, exchange: &mut Exchange) -> Self {
        Self {
            inner,
            idle: exchange.response_idle.map(Alarm::after),
            given_up: exchange.given_up_at.map(Alarm::at),
            pace: exchange.pace.take(),
            trail: exchange.asker.take_trail(),
            is_grpc: exchange.is_grpc,
            ended: false,
        }
    }
}

impl<B> http_body::Body for TimedAnswer<B>
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
        let error = if let Some(pace) = this.pace
            && let Poll::Ready(ruling) = pace.verdict.poll(cx)
        {
            ruling.error()
        } else if polled.is_ready() {
            if let Some(idle) = this.idle {
                idle.rest();
            }
            return polled;
        } else {
            let rings = |alarm: &mut Option<Alarm>, cx: &mut Context<'_>| {
                alarm.as_mut().is_some_and(|alarm| alarm.poll(cx).is_ready())
            };
            if !rings(this.idle, cx) && !rings(this.given_up, cx) {
                return Poll::Pending;
            }
            ApiError::deadline_exceeded()
        };
        *this.ended = true;
        if let Some(trail) = this.trail {
            trail.note_refusal(NAME, &error);
        }
        Poll::Ready(Some(if *this.is_grpc {
            Ok(Frame::trailers(deadline_exceeded()))
        } else {
            Err(error.into())
        }))
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        let ruling = self.pace.as_ref().and_then(|pace| pace.verdict.ruling());
        self.ended || ruling.is_none() && self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How a gRPC stream ends whose time is up.
fn deadline_exceeded() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from(GrpcCode::DeadlineExceeded as i32),
    );
    trailers.insert(
        HeaderName::from_static("grpc-message"),
        HeaderValue::from_static("the request took too long"),
    );
    trailers
}
