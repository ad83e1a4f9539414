use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use palisade_core::{BoxError, BytesBody, DiscardOnDrop, Trail};

use super::count::Count;
use crate::fault::length_limit_error;

/// A body that counts its bytes as the handler or the layer reads it.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: DiscardOnDrop<B>,
    /// The bytes read so far.
    seen: u64,
    limit: u64,
    is_over: bool,
    /// The trail of an observed request.
    trail: Option<Trail>,
    /// Replaces the limit. Boxed, because few requests have it, and the body is moved with its request.
    special: Option<Box<SpecialLimit>>,
}

/// A limit that can be moved, or that counts messages.
#[derive(Debug)]
pub(super) struct SpecialLimit {
    pub(super) limit: Limit,
    /// The declared length, or 0. The body fails before its first byte if it exceeds the limit at the first poll.
    pub(super) declared: u64,
    pub(super) count: Count,
}

impl SpecialLimit {
    #[inline(never)]
    fn takes(&mut self, data: &[u8]) -> bool {
        self.count.takes(data, self.limit.get())
    }
}

impl<B> Counted<B> {
    #[inline]
    pub(super) fn new(
        body: DiscardOnDrop<B>,
        limit: u64,
        trail: Option<Trail>,
        special: Option<Box<SpecialLimit>>,
    ) -> Self {
        Self { body, seen: 0, limit, is_over: false, trail, special }
    }

    /// True if the error that it has failed with was ours.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    #[cold]
    fn goes_over(&mut self) -> BoxError {
        self.is_over = true;
        length_limit_error()
    }
}

impl<B> Counted<B>
where
    B: BytesBody + Unpin,
{
    // A frame is large, most of it room for trailers. So the data are taken out of one frame and put into another: copying a
    // result with a frame takes longer than all the rest. For the same reason no function that is not inlined returns a frame,
    // here and in `LimitedBody`: then the compiler keeps the result in registers (61 instructions for a piece instead of 82).
    #[inline(always)]
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.special.as_ref().is_some_and(|special| special.declared > special.limit.get()) {
            return Poll::Ready(Some(Err(self.goes_over())));
        }
        let Some(body) = self.body.get_mut() else { return Poll::Ready(None) };
        let frame = match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.body.set_ended();
                return Poll::Ready(Some(Err(error.into())));
            }
            None => {
                self.body.set_ended();
                return Poll::Ready(None);
            }
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        self.seen = self.seen.saturating_add(data.len() as u64);
        if let Some(trail) = &self.trail {
            trail.saw_body_bytes(self.seen);
        }
        let fits = match &mut self.special {
            None => self.seen <= self.limit,
            Some(special) => special.takes(&data),
        };
        if !fits {
            return Poll::Ready(Some(Err(self.goes_over())));
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The limit of a body.
#[derive(Clone, Debug)]
pub(super) enum Limit {
    Fixed(u64),
    /// A limit further in may move it.
    Default(Adjustable),
}

impl Limit {
    #[inline]
    pub(super) fn get(&self) -> u64 {
        match self {
            Self::Fixed(limit) => *limit,
            Self::Default(Adjustable(limit)) => limit.load(Ordering::Acquire),
        }
    }
}

/// The limit that applies, in the extensions of a request with an overridable outer limit.
#[derive(Clone, Debug)]
pub(super) struct Adjustable(Arc<AtomicU64>);

impl Adjustable {
    pub(super) fn new(limit: u64) -> Self {
        Self(Arc::new(AtomicU64::new(limit)))
    }

    pub(super) fn set(&self, limit: u64) {
        self.0.store(limit, Ordering::Release);
    }
}
