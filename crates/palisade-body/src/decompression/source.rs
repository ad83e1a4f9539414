use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use palisade_core::BoxError;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// A body as the decoders read it, one frame in memory at a time.
pub(super) struct Source<B> {
    body: Pin<Box<B>>,
    chunk: Bytes,
    /// How many bytes came, still coded.
    pub(super) read: u64,
    pub(super) trailers: Option<HeaderMap>,
    /// Why the body broke off. The decoders only know errors of their own kind.
    pub(super) error: Option<BoxError>,
}

impl<B> Source<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body: Box::pin(body), chunk: Bytes::new(), read: 0, trailers: None, error: None }
    }
}

impl<B> fmt::Debug for Source<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("read", &self.read).finish_non_exhaustive()
    }
}

impl<B> AsyncBufRead for Source<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.chunk.is_empty() {
            match ready!(this.body.as_mut().poll_frame(cx)) {
                None => break,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        this.read += data.len() as u64;
                        this.chunk = data;
                    }
                    Err(frame) => this.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => {
                    this.error = Some(error.into());
                    return Poll::Ready(Err(io::Error::other("the body broke off")));
                }
            }
        }
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().chunk.advance(amount);
    }
}

impl<B> AsyncRead for Source<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let here = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = here.len().min(into.remaining());
        into.put_slice(&here[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}
