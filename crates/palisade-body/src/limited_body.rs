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
use palisade_core::{BoxError, Trail};
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
        // Of a request that somebody observes, and how much of it there was so far.
        seen: Option<(Trail, u64)>,
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
    pub(crate) fn new(
        body: B,
        limit: u64,
        exceeded: Option<Exceeded>,
        trail: Option<Trail>,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let seen = trail.map(|trail| (trail, 0));
        Self { inner: Limited::new(body, limit), exceeded, seen }
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
        if let (Some((trail, so_far)), Poll::Ready(Some(Ok(frame)))) = (this.seen, &polled)
            && let Some(data) = frame.data_ref()
        {
            *so_far += data.len() as u64;
            trail.saw_body_bytes(*so_far);
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
