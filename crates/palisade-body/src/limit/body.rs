use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use palisade_core::{BoxError, BytesBody};

use super::{
    counted::Counted,
    watched::{State, Watched},
};

/// A request body that fails when more bytes arrive than [`BodyLimit`](crate::BodyLimit) allows.
///
/// The error is [`http_body_util::LengthLimitError`], which axum's extractors recognise and
/// [`ErrorLayer`](palisade_core::ErrorLayer) answers with 413. It ends the body. No byte beyond the limit is passed on.
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
///     B: http_body::Body<Data = Bytes, Error: Into<palisade_core::BoxError>> + Unpin,
/// {
///     let length = request.into_body().collect().await?.to_bytes().len();
///     Ok(Response::new(Full::from(length.to_string())))
/// }
/// ```
#[derive(Debug)]
pub struct LimitedBody<B>(Kind<B>);

#[derive(Debug)]
enum Kind<B> {
    Streamed(Reader<B>),
    // It was read before the handler was called.
    Whole { bytes: Bytes, trailers: Option<Box<HeaderMap>> },
}

impl<B> LimitedBody<B> {
    /// Creates a body with a declared length, which the server enforces.
    #[inline]
    pub(super) fn declared(counted: Counted<B>) -> Self {
        Self(Kind::Streamed(Reader { counted: Some(counted), watched: None }))
    }

    #[inline]
    pub(super) fn watched(counted: Counted<B>, watched: &Arc<Watched<B>>) -> Self {
        let watched = Some(Arc::clone(watched));
        Self(Kind::Streamed(Reader { counted: Some(counted), watched }))
    }

    pub(super) fn whole(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self(Kind::Whole { bytes, trailers: trailers.map(Box::new) })
    }
}

impl<B> http_body::Body for LimitedBody<B>
where
    B: BytesBody + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Kind::Streamed(reader) => reader.poll_frame(cx),
            Kind::Whole { bytes, trailers } => Poll::Ready(if bytes.is_empty() {
                trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))
            } else {
                Some(Ok(Frame::data(mem::take(bytes))))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Streamed(reader) => reader.counted.as_ref().is_none_or(Counted::is_end_stream),
            Kind::Whole { bytes, trailers } => bytes.is_empty() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Streamed(reader) => {
                reader.counted.as_ref().map_or(SizeHint::with_exact(0), Counted::size_hint)
            }
            Kind::Whole { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

/// The handler's end of a body.
#[derive(Debug)]
struct Reader<B> {
    /// `None` after the end or an error, so that the server may close the stream.
    counted: Option<Counted<B>>,
    watched: Option<Arc<Watched<B>>>,
}

impl<B> Reader<B> {
    /// Drops the body, which has ended or failed, and reports that to the layer.
    #[cold]
    #[inline(never)]
    fn settle(&mut self) {
        let is_over = self.counted.as_ref().is_some_and(Counted::is_over);
        self.counted = None;
        if let Some(watched) = &self.watched {
            if is_over {
                watched.settle(State::Over);
            } else {
                watched.set_ended();
            }
        }
    }
}

impl<B> Reader<B>
where
    B: BytesBody + Unpin,
{
    #[inline(always)]
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(counted) = &mut self.counted else { return Poll::Ready(None) };
        match counted.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                self.settle();
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.settle();
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<B> Drop for Reader<B> {
    fn drop(&mut self) {
        if let (Some(counted), Some(watched)) = (self.counted.take(), &self.watched) {
            watched.settle(State::Left(Box::new(counted)));
        }
    }
}
