use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::Empty;
use palisade_core::{Body, BoxError, BytesBody};

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
    Whole(Body<Empty<Bytes>>),
}

impl<B> LimitedBody<B> {
    /// Creates a body with a declared length, which the server enforces.
    pub(super) fn declared(counted: Counted<B>) -> Self {
        Self(Kind::Streamed(Reader { counted: Some(counted), watched: None }))
    }

    pub(super) fn watched(counted: Counted<B>, watched: &Arc<Watched<B>>) -> Self {
        let watched = Some(Arc::clone(watched));
        Self(Kind::Streamed(Reader { counted: Some(counted), watched }))
    }

    pub(super) fn whole(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self(Kind::Whole(Body::collected(bytes, trailers.map(Box::new))))
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
            Kind::Whole(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Streamed(reader) => reader.counted.as_ref().is_none_or(Counted::is_end_stream),
            Kind::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Streamed(reader) => {
                reader.counted.as_ref().map_or(SizeHint::with_exact(0), Counted::size_hint)
            }
            Kind::Whole(body) => body.size_hint(),
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
    #[cold]
    fn is_done(&mut self) {
        let is_over = self.counted.take().is_some_and(|counted| counted.is_over());
        if let Some(watched) = &self.watched {
            watched.settle(if is_over { State::Over } else { State::Ended });
        }
    }
}

impl<B> Reader<B>
where
    B: BytesBody + Unpin,
{
    #[inline]
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(counted) = &mut self.counted else { return Poll::Ready(None) };
        let polled = counted.poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = &polled {
            self.is_done();
        }
        polled
    }
}

impl<B> Drop for Reader<B> {
    fn drop(&mut self) {
        if let (Some(counted), Some(watched)) = (self.counted.take(), &self.watched) {
            watched.settle(State::Left(counted));
        }
    }
}
