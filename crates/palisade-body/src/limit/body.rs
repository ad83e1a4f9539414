use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Version};
use http_body::{Frame, SizeHint};
use http_body_util::Empty;
use palisade_core::{Body, BoxError, ErrorContext, Trail};
use pin_project_lite::pin_project;

use super::count::Count;
use crate::verdict::{Ruling, Verdict, length_limit_error};

pin_project! {
    /// A request body that fails when more bytes arrive than [`BodyLimit`](crate::BodyLimit) allows.
    ///
    /// The failure is [`http_body_util::LengthLimitError`], which axum's extractors know, and which
    /// [`ErrorLayer`](palisade_core::ErrorLayer) answers with 413. No byte beyond the limit is handed on, and nothing
    /// comes after the failure.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full};
    /// use palisade_body::LimitedBody;
    /// # use bytes::Bytes;
    ///
    /// // a handler that is generic over the body, or names the one that it gets
    /// async fn length<B>(request: Request<LimitedBody<B>>) -> Result<Response<Full<Bytes>>, palisade_core::BoxError>
    /// where
    ///     B: http_body::Body<Data = Bytes, Error: Into<palisade_core::BoxError>>,
    /// {
    ///     let length = request.into_body().collect().await?.to_bytes().len();
    ///     Ok(Response::new(Full::from(length.to_string())))
    /// }
    /// ```
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        #[pin]
        kind: Kind<B>,
        // Of a request that somebody observes, and how much of its body the handler has seen so far.
        seen: Option<(Trail, u64)>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B> {
        // It said how long it is, and the server holds it to that.
        Declared { #[pin] body: B, count: Count, limit: u64 },
        Watched { reader: Reader<B> },
        // It was read before the handler was called.
        Whole { #[pin] body: Body<Empty<Bytes>> },
    }
}

impl<B> LimitedBody<B> {
    pub(super) fn declared(body: B, limit: u64) -> Self {
        Self { kind: Kind::Declared { body, count: Count::whole(), limit }, seen: None }
    }

    pub(super) fn watched(watched: &Arc<Watched<B>>) -> Self {
        Self { kind: Kind::Watched { reader: Reader(Arc::clone(watched)) }, seen: None }
    }

    pub(super) fn whole(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self {
            kind: Kind::Whole { body: Body::collected(bytes, trailers.map(Box::new)) },
            seen: None,
        }
    }

    pub(super) fn seen_by(mut self, trail: Option<&Trail>) -> Self {
        self.seen = trail.map(|trail| (trail.clone(), 0));
        self
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
        let polled = match this.kind.project() {
            KindProj::Declared { body, count, limit } => {
                let frame = ready!(body.poll_frame(cx)).map(|frame| match frame {
                    Ok(frame) if !fits(&frame, count, *limit) => Err(length_limit_error()),
                    Ok(frame) => Ok(frame),
                    Err(error) => Err(error.into()),
                });
                Poll::Ready(frame)
            }
            KindProj::Watched { reader } => reader.0.poll_frame(cx),
            KindProj::Whole { body } => body.poll_frame(cx).map_err(|never| match never {}),
        };
        if let (Some((trail, so_far)), Poll::Ready(Some(Ok(frame)))) = (this.seen, &polled)
            && let Some(data) = frame.data_ref()
        {
            *so_far += data.len() as u64;
            trail.saw_body_bytes(*so_far);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Declared { body, .. } => body.is_end_stream(),
            Kind::Watched { reader } => reader.0.has_ended(),
            Kind::Whole { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Declared { body, .. } => body.size_hint(),
            Kind::Watched { reader } => reader.0.size_hint(),
            Kind::Whole { body } => body.size_hint(),
        }
    }
}

fn fits(frame: &Frame<Bytes>, count: &mut Count, limit: u64) -> bool {
    frame.data_ref().is_none_or(|data| count.takes(data, limit))
}

/// A body of unknown length, where both the handler and the layer can reach it: the layer reads on when the handler
/// has answered without having read it all.
#[derive(Debug)]
pub(super) struct Watched<B> {
    source: Mutex<Source<B>>,
    /// An inner limit may move it.
    limit: Arc<AtomicU64>,
    reader_is_gone: AtomicBool,
    pub(super) verdict: Arc<Verdict>,
    pub(super) context: ErrorContext,
    pub(super) version: Version,
}

#[derive(Debug)]
struct Source<B> {
    /// `None` when it has ended or is known to be bad: nobody reads on then, and the server may close the stream.
    body: Option<Pin<Box<B>>>,
    count: Count,
    /// It declared more than the limit was, before anything was read.
    declared: u64,
}

impl<B> Watched<B> {
    pub(super) fn new(
        body: B,
        limit: u64,
        declared: u64,
        count: Count,
        context: ErrorContext,
        version: Version,
    ) -> Arc<Self> {
        Arc::new(Self {
            source: Mutex::new(Source { body: Some(Box::pin(body)), count, declared }),
            limit: Arc::new(AtomicU64::new(limit)),
            reader_is_gone: AtomicBool::new(false),
            verdict: Arc::default(),
            context,
            version,
        })
    }

    fn source(&self) -> MutexGuard<'_, Source<B>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an inner limit moves.
    pub(super) fn adjustable(&self) -> Adjustable {
        Adjustable(Arc::clone(&self.limit))
    }

    /// True if the handler has let go of a body that has more to come.
    pub(super) fn is_left_unread(&self) -> bool {
        self.reader_is_gone.load(Ordering::Acquire) && self.source().body.is_some()
    }

    /// Rules on a declared length that no inner limit has allowed.
    pub(super) fn judge_declared(&self) {
        let mut source = self.source();
        if source.declared > self.limit.load(Ordering::Acquire) {
            source.body = None;
            self.verdict.pass(Ruling::TooLarge);
        }
    }
}

impl<B> Watched<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut source = self.source();
        let Source { body, count, declared } = &mut *source;
        let Some(reading) = body else { return Poll::Ready(None) };
        let limit = self.limit.load(Ordering::Acquire);
        let frame = if *declared > limit {
            None
        } else {
            match ready!(reading.as_mut().poll_frame(cx)) {
                None => {
                    *body = None;
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    *body = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Ok(frame)) => fits(&frame, count, limit).then_some(frame),
            }
        };
        Poll::Ready(Some(frame.ok_or_else(|| {
            *body = None;
            self.verdict.pass(Ruling::TooLarge);
            length_limit_error()
        })))
    }

    fn has_ended(&self) -> bool {
        self.source().body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.source().body.as_ref().map_or(SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// The handler's end of a body. It says when it is let go of.
#[derive(Debug)]
struct Reader<B>(Arc<Watched<B>>);

impl<B> Drop for Reader<B> {
    fn drop(&mut self) {
        self.0.reader_is_gone.store(true, Ordering::Release);
    }
}

/// In the extensions of a request whose outer limit is a default: the limit that applies.
#[derive(Clone, Debug)]
pub(super) struct Adjustable(Arc<AtomicU64>);

impl Adjustable {
    pub(super) fn set(&self, limit: u64) {
        self.0.store(limit, Ordering::Release);
    }
}
