use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::hold::{BodyEnd, Watched};

pin_project! {
    /// A body that is either the inner service's own, streamed through untouched, or bytes that a policy holds.
    ///
    /// It is the one body of every layer: no layer boxes a body or asks for `Default`. As a response body it
    /// carries refusals; as a request body it hands on the bytes that a [`BodyPolicy`](crate::BodyPolicy) read.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body::Body as _;
    /// use http_body_util::Full;
    /// use palisade_core::Body;
    ///
    /// let refusal: Body<Full<Bytes>> = Body::full(Bytes::from("no"));
    /// assert_eq!(refusal.size_hint().exact(), Some(2));
    /// ```
    #[derive(Debug)]
    pub struct Body<B> {
        #[pin]
        kind: Kind<B>,
        held: Option<Box<Watched>>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Full { bytes: Bytes, trailers: Option<Box<HeaderMap>> },
    }
}

impl<B> Body<B> {
    /// The inner service's body, as it is.
    #[inline]
    pub fn new(body: B) -> Self {
        Self { kind: Kind::Inner { body }, held: None }
    }

    /// Bytes that are there already.
    #[inline]
    pub fn full(bytes: Bytes) -> Self {
        Self { kind: Kind::Full { bytes, trailers: None }, held: None }
    }

    /// No bytes at all.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// The body, and what policies hold until it ends.
    #[inline]
    pub(crate) fn holding(mut self, held: Option<Box<Watched>>) -> Self {
        self.held = held;
        self
    }

    /// Bytes that were read, and the trailers that came after them.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::HeaderMap;
    /// use http_body_util::Empty;
    /// use palisade_core::Body;
    ///
    /// let trailers = HeaderMap::new();
    /// let body: Body<Empty<Bytes>> = Body::collected(Bytes::from("read"), Some(Box::new(trailers)));
    /// ```
    pub fn collected(bytes: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        Self { kind: Kind::Full { bytes, trailers }, held: None }
    }
}

impl<B: http_body::Body<Data = Bytes>> Kind<B> {
    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Full { bytes, trailers } => Poll::Ready(if bytes.is_empty() {
                trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))
            } else {
                Some(Ok(Frame::data(std::mem::take(bytes))))
            }),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Inner { body } => body.is_end_stream(),
            Self::Full { bytes, trailers } => bytes.is_empty() && trailers.is_none(),
        }
    }
}

impl<B> From<Bytes> for Body<B> {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(held) = this.held.as_deref_mut() else { return this.kind.poll_frame(cx) };
        held.before_poll();
        let polled = this.kind.as_mut().poll_frame(cx);
        held.after_poll();
        // A server may keep a body that has ended for a while: what is held until then goes now.
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    held.data(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    held.trailers(trailers);
                }
                held.says_it_ended(this.kind.is_end_stream());
            }
            Poll::Ready(None) => {
                held.end(BodyEnd::Complete);
                *this.held = None;
            }
            Poll::Ready(Some(Err(_))) => {
                held.end(BodyEnd::Failed);
                *this.held = None;
            }
        }
        polled
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        let ended = self.kind.is_end_stream();
        if let Some(held) = &self.held {
            held.says_it_ended(ended);
        }
        ended
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Full { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::{BodyExt, Empty};

    use super::*;

    #[test]
    fn an_empty_body_ends_the_stream_at_once() {
        // Trailers-only gRPC answers depend on it: one HEADERS frame with END_STREAM.
        assert!(Body::<Empty<Bytes>>::empty().is_end_stream());
    }

    #[tokio::test]
    async fn collected_trailers_follow_the_bytes() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "7".parse().unwrap());
        let body =
            Body::<Empty<Bytes>>::collected(Bytes::from("abc"), Some(Box::new(trailers.clone())));
        assert!(!body.is_end_stream());
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "abc");
    }
}
