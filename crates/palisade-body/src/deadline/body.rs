use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use palisade_core::{BoxError, DiscardOnDrop};
use pin_project_lite::pin_project;

use crate::{
    alarm::Alarm,
    verdict::{Ruling, Verdict},
};

/// What the layer wants to know of a body that somebody else reads.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Somebody has asked for more and it is not there.
    waiting: AtomicBool,
    pub(super) verdict: Verdict,
}

impl Pace {
    pub(super) fn shared() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }
}

pin_project! {
    /// A request body that may pause only for so long, as its [`Deadline`](crate::Deadline) says.
    ///
    /// A longer pause is an error that carries a `REQUEST_TIMEOUT` [`ApiError`](palisade_core::ApiError), and nothing
    /// comes after it.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full};
    /// use palisade_body::TimedBody;
    /// # use bytes::Bytes;
    ///
    /// async fn length<B>(request: Request<TimedBody<B>>) -> Result<Response<Full<Bytes>>, palisade_core::BoxError>
    /// where
    ///     B: http_body::Body<Data = Bytes, Error: Into<palisade_core::BoxError>> + Unpin,
    /// {
    ///     let length = request.into_body().collect().await?.to_bytes().len();
    ///     Ok(Response::new(Full::from(length.to_string())))
    /// }
    /// ```
    #[derive(Debug)]
    pub struct TimedBody<B> {
        #[pin]
        inner: DiscardOnDrop<B>,
        idle: Option<Alarm>,
        pace: Option<Arc<Pace>>,
        gave_up: bool,
    }

    impl<B> PinnedDrop for TimedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            // Nobody waits for it any more: what takes long from here on is not the client's fault.
            if let Some(pace) = this.project().pace {
                pace.waiting.store(false, Ordering::Release);
            }
        }
    }
}

impl<B> TimedBody<B> {
    pub(super) fn new(
        inner: DiscardOnDrop<B>,
        idle: Option<Duration>,
        pace: Option<Arc<Pace>>,
    ) -> Self {
        Self { inner, idle: idle.map(Alarm::after), pace, gave_up: false }
    }
}

impl<B> http_body::Body for TimedBody<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.gave_up {
            return Poll::Ready(None);
        }
        let polled = this.inner.poll_frame(cx).map_err(Into::into);
        if let Some(pace) = this.pace {
            pace.waiting.store(polled.is_pending(), Ordering::Release);
        }
        let Some(idle) = this.idle else { return polled };
        if polled.is_ready() {
            idle.rest();
            return polled;
        }
        if idle.poll(cx).is_pending() {
            return Poll::Pending;
        }
        *this.gave_up = true;
        if let Some(pace) = this.pace {
            pace.waiting.store(false, Ordering::Release);
            pace.verdict.pass(Ruling::TooSlow);
        }
        Poll::Ready(Some(Err(Ruling::TooSlow.body_error())))
    }

    fn is_end_stream(&self) -> bool {
        self.gave_up || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
