use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{LengthLimitError, Limited};
use palisade_core::BoxError;
use pin_project_lite::pin_project;

pin_project! {
    /// A request body that fails when more bytes arrive than [`BodyLimit`](crate::BodyLimit) allows.
    ///
    /// The failure is [`http_body_util::LengthLimitError`], which axum's extractors know, and which
    /// [`ErrorLayer`](palisade_core::ErrorLayer) answers with 413. No byte beyond the limit is handed on.
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        #[pin]
        inner: Limited<B>,
        exceeded: Option<Exceeded>,
    }
}

/// Tells the layer that a body went over its limit, however the handler takes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exceeded(Arc<AtomicBool>);

impl Exceeded {
    pub(crate) fn is_true(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl<B> LimitedBody<B> {
    pub(crate) fn new(body: B, limit: u64, exceeded: Option<Exceeded>) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { inner: Limited::new(body, limit), exceeded }
    }
}

impl<B> http_body::Body for LimitedBody<B>
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
        let polled = this.inner.poll_frame(cx);
        if let (Poll::Ready(Some(Err(error))), Some(exceeded)) = (&polled, this.exceeded)
            && error.is::<LengthLimitError>()
        {
            exceeded.0.store(true, Ordering::Release);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
