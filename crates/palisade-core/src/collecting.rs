use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, request};

use crate::{ApiError, BoxError, BytesBody, Gathered, discard_unread, error::find_in_chain};

/// A request whose body is read up to a limit, with the ready service that it will be given to.
pub(crate) struct Collecting<S, B> {
    /// Taken when the service is called.
    pub(crate) held: Option<(S, request::Parts)>,
    /// `None` after its end or its error. An unread rest is discarded on drop.
    body: Option<B>,
    /// A function pointer, because `Drop` cannot have bounds of its own.
    discard: fn(&request::Parts, B),
    limit: usize,
    gathered: Gathered,
    trailers: Option<Box<HeaderMap>>,
}

/// The bytes and the trailers of a body.
type Collected = (Bytes, Option<Box<HeaderMap>>);

impl<S, B: BytesBody + Unpin + 'static> Collecting<S, B> {
    pub(crate) fn new(inner: S, head: request::Parts, body: B, limit: usize) -> Self {
        Self {
            held: Some((inner, head)),
            body: Some(body),
            discard: discard_unread,
            limit,
            gathered: Gathered::default(),
            trailers: None,
        }
    }
}

impl<S, B: BytesBody + Unpin> Collecting<S, B> {
    /// Reads the body to its end. Returns its bytes and trailers.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Collected, ApiError>> {
        while let Some(body) = &mut self.body {
            let Some(frame) = ready!(Pin::new(body).poll_frame(cx)) else {
                self.body = None;
                break;
            };
            let frame = frame.map_err(|error| {
                self.body = None;
                unreadable(error.into())
            })?;
            match frame.into_data() {
                Ok(data) if data.len() > self.limit - self.gathered.len() => {
                    return Poll::Ready(Err(ApiError::payload_too_large()));
                }
                Ok(data) => self.gathered.push(data),
                Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
            }
        }
        Poll::Ready(Ok((mem::take(&mut self.gathered).into_bytes(), self.trailers.take())))
    }
}

impl<S, B> Drop for Collecting<S, B> {
    fn drop(&mut self) {
        if let (Some(body), Some((_, head))) = (self.body.take(), &self.held) {
            (self.discard)(head, body);
        }
    }
}

/// The body broke off, or is over the limit of a layer outside.
fn unreadable(error: BoxError) -> ApiError {
    find_in_chain(&*error)
        .unwrap_or_else(|| {
            ApiError::bad_request().with_message("the request body could not be read")
        })
        .with_source(error)
}
