use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use palisade_core::{Body, BoxError};
use pin_project_lite::pin_project;

use super::draft::Draft;

pin_project! {
    /// The body of a response that the service made: it streams through, and may be copied for the store.
    pub struct CacheBody<B> {
        // What was read before the response was returned.
        read: VecDeque<Bytes>,
        // What came after that, if it was not data.
        last: Option<Result<HeaderMap, BoxError>>,
        #[pin]
        rest: Rest<B>,
        copy: Option<Box<Copy>>,
    }
}

pin_project! {
    #[project = RestProj]
    enum Rest<B> {
        Streaming { #[pin] body: Body<B> },
        // A part of it was read.
        Boxed { body: Pin<Box<Body<B>>> },
        Ended,
    }
}

/// A copy of a body that streams through. It is stored once the body is complete; dropped before, nothing is stored.
struct Copy {
    parts: Vec<Bytes>,
    bytes: u64,
    most: u64,
    draft: Draft,
}

impl<B> CacheBody<B> {
    fn new(read: Vec<Bytes>, last: Option<Result<HeaderMap, BoxError>>, rest: Rest<B>) -> Self {
        Self { read: read.into(), last, rest, copy: None }
    }

    pub(crate) fn streaming(body: Body<B>) -> Self {
        Self::new(Vec::new(), None, Rest::Streaming { body })
    }

    pub(super) fn copied(body: Body<B>, draft: Draft, most: u64) -> Self {
        let copy = Copy { parts: Vec::new(), bytes: 0, most, draft };
        Self { copy: Some(Box::new(copy)), ..Self::streaming(body) }
    }

    /// A body that failed after these bytes.
    pub(super) fn failed(read: Vec<Bytes>, error: BoxError) -> Self {
        Self::new(read, Some(Err(error)), Rest::Ended)
    }

    /// A body of which a part was read.
    pub(super) fn interrupted(
        read: Vec<Bytes>,
        trailers: Option<HeaderMap>,
        body: Pin<Box<Body<B>>>,
    ) -> Self {
        Self::new(read, trailers.map(Ok), Rest::Boxed { body })
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>>> Rest<B> {
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            RestProj::Streaming { body } => body.poll_frame(cx),
            RestProj::Boxed { body } => body.as_mut().poll_frame(cx),
            RestProj::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streaming { body } => body.is_end_stream(),
            Self::Boxed { body } => body.is_end_stream(),
            Self::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streaming { body } => body.size_hint(),
            Self::Boxed { body } => body.size_hint(),
            Self::Ended => SizeHint::with_exact(0),
        }
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>>> CacheBody<B> {
    /// Reads a body of known length. If it fails, is longer, or has trailers, it is returned as it was.
    pub(crate) async fn collected(body: Body<B>, most: u64) -> Result<Bytes, Self> {
        let mut body = Box::pin(body);
        let (mut read, mut length) = (Vec::new(), 0);
        loop {
            let frame = match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                None => return Ok(joined(&read)),
                Some(Err(error)) => return Err(Self::failed(read, error)),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => {
                    length += data.len() as u64;
                    read.push(data);
                    if length > most {
                        return Err(Self::interrupted(read, None, body));
                    }
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().ok();
                    return Err(Self::interrupted(read, trailers, body));
                }
            }
        }
    }
}

impl Copy {
    /// Returns false if the body is too long.
    fn add(&mut self, data: &Bytes) -> bool {
        self.bytes += data.len() as u64;
        self.parts.push(data.clone());
        self.bytes <= self.most
    }
}

/// Joins the parts of a body in memory of their own: a part may be a small piece of a large buffer, which it would keep.
pub(super) fn joined(parts: &[Bytes]) -> Bytes {
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    for part in parts {
        whole.extend_from_slice(part);
    }
    whole.freeze()
}

impl<B> fmt::Debug for CacheBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBody").field("copied", &self.copy.is_some()).finish_non_exhaustive()
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>>> HttpBody for CacheBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if let Some(data) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(last) = this.last.take() {
            return Poll::Ready(Some(last.map(Frame::trailers)));
        }
        let frame = ready!(this.rest.as_mut().poll_frame(cx));
        if let Some(copy) = this.copy {
            let goes_on = match &frame {
                Some(Ok(frame)) => frame.data_ref().is_some_and(|data| copy.add(data)),
                Some(Err(_)) => false,
                None => true,
            };
            if !goes_on {
                *this.copy = None;
            } else if frame.is_none() || this.rest.is_end_stream() {
                // A server does not ask again for a body that says that it has ended.
                if let Some(copy) = this.copy.take() {
                    copy.draft.complete_later(joined(&copy.parts));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.last.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read: u64 = self.read.iter().map(|part| part.len() as u64).sum();
        let inner = self.rest.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + read);
        }
        hint.set_lower(inner.lower() + read);
        hint
    }
}
