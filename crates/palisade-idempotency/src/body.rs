use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use palisade_core::{Body, BoxError};
use pin_project_lite::pin_project;
use tokio::sync::mpsc;

pin_project! {
    /// The response body of a service inside [`Idempotency`](crate::Idempotency): that of the service, a stored one, or one that
    /// is stored while the client reads it.
    pub struct ReplayBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Own { #[pin] body: Body<B> },
        Copied { frames: mpsc::Receiver<Result<Frame<Bytes>, BoxError>> },
    }
}

impl<B> ReplayBody<B> {
    /// The service's own body, or bytes with trailers.
    pub(crate) fn new(body: Body<B>) -> Self {
        Self { kind: Kind::Own { body } }
    }

    /// A body whose frames are copied.
    pub(crate) fn copied(frames: mpsc::Receiver<Result<Frame<Bytes>, BoxError>>) -> Self {
        Self { kind: Kind::Copied { frames } }
    }

    /// A body that could not be read.
    pub(crate) fn failed(error: BoxError) -> Self {
        let (sender, frames) = mpsc::channel(1);
        // The channel has room for one frame.
        let _ = sender.try_send(Err(error));
        Self::copied(frames)
    }
}

impl<B> http_body::Body for ReplayBody<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Own { body } => body.poll_frame(cx),
            KindProj::Copied { frames } => frames.poll_recv(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own { body } => body.is_end_stream(),
            Kind::Copied { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own { body } => body.size_hint(),
            Kind::Copied { .. } => SizeHint::default(),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").finish_non_exhaustive()
    }
}
