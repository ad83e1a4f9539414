use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::{ApiError, framework::MAX_TEXT};

/// What a body said, and its trailers.
pub(super) type Read = (Bytes, Option<Box<HeaderMap>>);

/// A short body that is read to its end, whatever its errors are.
pub(super) struct Reading<B> {
    body: Pin<Box<B>>,
    read: BytesMut,
    trailers: Option<Box<HeaderMap>>,
}

impl<B: http_body::Body<Data = Bytes>> Reading<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body: Box::pin(body), read: BytesMut::new(), trailers: None }
    }

    /// What it says. A body that breaks off, or is longer than it said, is a failure of the service.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Read, ApiError>> {
        loop {
            let frame = match ready!(self.body.as_mut().poll_frame(cx)) {
                None => {
                    let text = std::mem::take(&mut self.read).freeze();
                    return Poll::Ready(Ok((text, self.trailers.take())));
                }
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return failed("the body of a response broke off"),
            };
            match frame.into_data() {
                Ok(data) if (self.read.len() + data.len()) as u64 > MAX_TEXT => {
                    return failed("the body of a response is longer than it said");
                }
                Ok(data) => self.read.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
            }
        }
    }
}

fn failed<T>(why: &'static str) -> Poll<Result<T, ApiError>> {
    Poll::Ready(Err(ApiError::internal().with_source(why)))
}
