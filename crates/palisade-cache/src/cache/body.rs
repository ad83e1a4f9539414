use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use palisade_core::{Body, BoxError};

use super::draft::Draft;

/// What a cache requires of the body of a response.
pub(crate) trait ResponseBody:
    HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static
{
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static> ResponseBody for B {}

/// The service's body after a part of it was read, or while it is copied for the store.
struct ReadBody<B> {
    /// What was read before the response was returned.
    read: VecDeque<Bytes>,
    /// What came after that, if it was not data.
    last: Option<Result<HeaderMap, BoxError>>,
    /// `None` if it failed.
    rest: Option<Pin<Box<Body<B>>>>,
    copy: Option<Copy>,
}

/// A copy of a body that streams through. It is stored once the body is complete; dropped before, nothing is stored.
struct Copy {
    parts: Vec<Bytes>,
    bytes: u64,
    most: u64,
    draft: Draft,
}

/// Returns the body, and stores a copy once it was read to its end, if it is not longer than `most`.
pub(super) fn copied<B: ResponseBody>(body: Body<B>, draft: Draft, most: u64) -> Body<B> {
    let copy = Some(Copy { parts: Vec::new(), bytes: 0, most, draft });
    let (read, last, rest) = (VecDeque::new(), None, Some(Box::pin(body)));
    Body::boxed(ReadBody { read, last, rest, copy })
}

/// Reads a body of known length. If it fails, is longer, or has trailers, returns a body that is read as it was.
pub(crate) async fn collected<B: ResponseBody>(body: Body<B>, most: u64) -> Result<Bytes, Body<B>> {
    let mut body = Box::pin(body);
    let (mut read, mut length) = (Vec::new(), 0);
    let (last, rest) = loop {
        let frame = match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return Ok(joined(&read)),
            Some(Err(error)) => break (Some(Err(error)), None),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                read.push(data);
                if length > most {
                    break (None, Some(body));
                }
            }
            Err(frame) => break (frame.into_trailers().ok().map(Ok), Some(body)),
        }
    };
    Err(Body::boxed(ReadBody { read: read.into(), last, rest, copy: None }))
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

impl<B: ResponseBody> HttpBody for ReadBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(data) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(last) = this.last.take() {
            return Poll::Ready(Some(last.map(Frame::trailers)));
        }
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        let frame = ready!(rest.as_mut().poll_frame(cx));
        if let Some(mut copy) = this.copy.take() {
            let goes_on = match &frame {
                Some(Ok(frame)) => frame.data_ref().is_some_and(|data| copy.add(data)),
                Some(Err(_)) => false,
                None => true,
            };
            if goes_on {
                if frame.is_none() || rest.is_end_stream() {
                    copy.draft.complete_later(joined(&copy.parts));
                } else {
                    this.copy = Some(copy);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let has_ended = self.rest.as_ref().is_none_or(HttpBody::is_end_stream);
        self.read.is_empty() && self.last.is_none() && has_ended
    }

    fn size_hint(&self) -> SizeHint {
        let read: u64 = self.read.iter().map(|part| part.len() as u64).sum();
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint);
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint.set_lower(rest.lower() + read);
        hint
    }
}
