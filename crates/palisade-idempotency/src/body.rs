use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use palisade_core::{Body, BoxError};
use tokio::sync::mpsc;

/// A response body that is stored while the client reads it.
struct Frames(mpsc::Receiver<Result<Frame<Bytes>, BoxError>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}

/// Returns a body whose frames are copied.
pub(crate) fn copied<B>(frames: mpsc::Receiver<Result<Frame<Bytes>, BoxError>>) -> Body<B> {
    Body::boxed(Frames(frames))
}

/// Returns a body that could not be read.
pub(crate) fn failed<B>(error: BoxError) -> Body<B> {
    let (sender, frames) = mpsc::channel(1);
    // The channel has room for one frame.
    let _ = sender.try_send(Err(error));
    copied(frames)
}
