use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use palisade_core::{BoxError, Trail};

use super::count::Count;

/// A body that is counted as it is read, whoever reads it: the handler, or the layer before it or after it.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    count: Count,
    limit: Limit,
    declared: u64,
    /// Of a request that somebody observes, and how much of its body was read so far.
    seen: Option<(Trail, u64)>,
}

/// Why there is no more of it than this.
pub(super) enum Stop {
    Over,
    Broken(BoxError),
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, count: Count, limit: Limit, trail: Option<Trail>) -> Self {
        Self { body, count, limit, declared: 0, seen: trail.map(|trail| (trail, 0)) }
    }

    /// It says that it is so long, and fails before its first byte if that is over the limit by then.
    pub(super) fn declaring(mut self, declared: u64) -> Self {
        self.declared = declared;
        self
    }
}

impl<B> Counted<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    #[inline]
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Stop>>> {
        let limit = self.limit.get();
        if self.declared > limit {
            return Poll::Ready(Some(Err(Stop::Over)));
        }
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => Some(self.takes(&frame, limit).then_some(frame).ok_or(Stop::Over)),
            Some(Err(error)) => Some(Err(Stop::Broken(error.into()))),
            None => None,
        })
    }

    #[inline]
    fn takes(&mut self, frame: &Frame<Bytes>, limit: u64) -> bool {
        let Some(data) = frame.data_ref() else { return true };
        if let Some((trail, so_far)) = &mut self.seen {
            *so_far += data.len() as u64;
            trail.saw_body_bytes(*so_far);
        }
        self.count.takes(data, limit)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How many bytes may come.
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

/// In the extensions of a request whose outer limit is a default: the limit that applies.
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
