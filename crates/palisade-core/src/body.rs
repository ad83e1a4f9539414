use std::{
    fmt,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    BoxError, BytesBody, EndEarly, PolledFrame,
    around::{Around, Inner, Size},
    hold::Watched,
};

pin_project! {
    /// The response body of all layers: the service's own body, streamed unchanged, or bytes that a policy returns.
    ///
    /// No layer boxes a body or requires `Default`. A stack has one `Body` around the service's own, however many layers it
    /// has, and its type is `Body<B>` with the body `B` of the service. As a request body it contains the bytes that a
    /// [`BodyPolicy`](crate::BodyPolicy) has read.
    ///
    /// Its error is a [`BoxError`]: that of the service's body, or of a limit that was exceeded after the head of the response
    /// was sent. Over HTTP/1.1 the connection then closes without the end of the body; over HTTP/2 the stream is reset. A gRPC or
    /// gRPC-web response ends with the status of the error in its trailers instead, such as `RESOURCE_EXHAUSTED` or
    /// `DEADLINE_EXCEEDED`, and with its details.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body::Body as _;
    /// use http_body_util::Full;
    /// use palisade_core::Body;
    ///
    /// let rejection: Body<Full<Bytes>> = Body::full(Bytes::from("no"));
    /// assert_eq!(rejection.size_hint().exact(), Some(2));
    /// ```
    #[derive(Debug)]
    pub struct Body<B> {
        #[pin]
        kind: Kind<B>,
        around: Option<Box<Around>>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Full { bytes: Bytes, trailers: Option<Box<HeaderMap>> },
        Boxed { body: Boxed },
    }
}

/// A body that a layer makes of the service's own. The lock, which is free, makes it `Sync`.
struct Boxed(Mutex<Pin<Box<DynBody>>>);

type DynBody = dyn http_body::Body<Data = Bytes, Error = BoxError> + Send;

impl Boxed {
    fn get(&self) -> MutexGuard<'_, Pin<Box<DynBody>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get_mut(&mut self) -> Pin<&mut DynBody> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
    }
}

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boxed").finish_non_exhaustive()
    }
}

impl<B> Body<B> {
    /// Returns the service's own body.
    #[inline]
    pub fn new(body: B) -> Self {
        Self { kind: Kind::Inner { body }, around: None }
    }

    /// Returns a body of these bytes.
    #[inline]
    pub fn full(bytes: Bytes) -> Self {
        Self { kind: Kind::Full { bytes, trailers: None }, around: None }
    }

    /// Returns a body without bytes.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Returns a body that a layer makes of the service's own, for example by copying it while it is sent. It is boxed, so that the
    /// type of the response stays the same.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::{BodyExt, Empty, Full};
    /// use palisade_core::{Body, BoxError};
    ///
    /// let copied = Full::new(Bytes::from("hello")).map_err(BoxError::from);
    /// let body: Body<Empty<Bytes>> = Body::boxed(copied);
    /// ```
    pub fn boxed(
        body: impl http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
    ) -> Self {
        let body = Boxed(Mutex::new(Box::pin(body)));
        Self { kind: Kind::Boxed { body }, around: None }
    }

    /// Returns the body with the watchers that policies have added to its response.
    #[inline]
    pub(crate) fn watched(mut self, watched: Option<Watched>) -> Self {
        if let Some(watched) = watched {
            self.around = Some(Around::watched(watched, self.around));
        }
        self
    }

    /// Returns the body with an end that may come before its own.
    #[doc(hidden)]
    #[must_use]
    pub fn ending_early(mut self, end: impl EndEarly) -> Self {
        self.around = Some(Around::end_early(Box::new(end), self.around));
        self
    }

    /// Returns a body of bytes that were read, and of the trailers that followed them.
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
        Self { kind: Kind::Full { bytes, trailers }, around: None }
    }
}

impl<B> Inner for Pin<&mut Kind<B>>
where
    B: BytesBody,
{
    type Size = Kind<B>;

    #[inline]
    fn size(&self) -> &Kind<B> {
        self
    }

    #[inline]
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> PolledFrame {
        match self.as_mut().project() {
            KindProj::Inner { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Full { bytes, trailers } => Poll::Ready(if bytes.is_empty() {
                trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))
            } else {
                Some(Ok(Frame::data(std::mem::take(bytes))))
            }),
            KindProj::Boxed { body } => body.get_mut().poll_frame(cx),
        }
    }
}

impl<B: http_body::Body<Data = Bytes>> Size for Kind<B> {
    #[inline]
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Inner { body } => body.is_end_stream(),
            Self::Full { bytes, trailers } => bytes.is_empty() && trailers.is_none(),
            Self::Boxed { body } => body.get().is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Inner { body } => body.size_hint(),
            Self::Full { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Self::Boxed { body } => body.get().size_hint(),
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
    B: BytesBody,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        let mut this = self.project();
        match this.around {
            None => this.kind.poll_inner(cx),
            around => Around::poll(around, &mut this.kind, cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        Around::is_end_stream(self.around.as_deref(), &self.kind)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        Around::size_hint(self.around.as_deref(), &self.kind)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::{BodyExt, Empty};

    use super::*;

    #[test]
    fn empty_body_is_at_end_of_stream() {
        // Trailers-only gRPC answers depend on it: one HEADERS frame with END_STREAM.
        assert!(Body::<Empty<Bytes>>::empty().is_end_stream());
    }

    #[tokio::test]
    async fn boxed_body_is_read_through() {
        let boxed = http_body_util::Full::new(Bytes::from("hello")).map_err(BoxError::from);
        let body = Body::<Empty<Bytes>>::boxed(boxed);
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
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
