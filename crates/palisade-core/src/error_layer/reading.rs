use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};

use super::framework::MAX_TEXT;
use crate::ApiError;

/// Reads a short body with any error type to its end.
pub(super) struct Reading<B> {
    body: Pin<Box<B>>,
    read: BytesMut,
}

impl<B: http_body::Body<Data = Bytes>> Reading<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body: Box::pin(body), read: BytesMut::new() }
    }

    /// Returns the text. A body that fails or exceeds its declared length is a failure of the service.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ApiError>> {
        loop {
            let frame = match ready!(self.body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Ok(std::mem::take(&mut self.read).freeze())),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return failed("the body of a response ended early"),
            };
            let Ok(data) = frame.into_data() else { continue };
            if (self.read.len() + data.len()) as u64 > MAX_TEXT {
                return failed("the body of a response is longer than its `Content-Length`");
            }
            self.read.extend_from_slice(&data);
        }
    }
}

fn failed<T>(why: &'static str) -> Poll<Result<T, ApiError>> {
    Poll::Ready(Err(ApiError::internal().with_source(why)))
}
