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
use palisade_core::{BoxError, BytesBody, DiscardOnDrop};
use pin_project_lite::pin_project;

use crate::{
    alarm::Alarm,
    fault::{BodyFault, FaultRecord},
};

/// The state of a request's body, shared by its reader and the layer.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The reader is waiting for more bytes.
    waiting: AtomicBool,
    pub(super) fault_record: FaultRecord,
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
    /// A request body with the maximum pause of a [`Deadline`](crate::Deadline).
    ///
    /// A longer pause ends the body with a `REQUEST_TIMEOUT` [`ApiError`](palisade_core::ApiError).
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
            // The body is no longer read, so the client is not responsible for further delays.
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
    B: BytesBody + Unpin,
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
            pace.fault_record.record(BodyFault::TooSlow);
        }
        Poll::Ready(Some(Err(BodyFault::TooSlow.body_error())))
    }

    fn is_end_stream(&self) -> bool {
        self.gave_up || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
