use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use palisade_core::{BoxError, BytesBody};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// The most bytes that are decoded at once, and before other tasks of the thread run: decoding can take a thousand times
/// longer than usual for bodies that are made for it.
const SLICE: usize = 8 * 1024;
const TURN: usize = 64 * 1024;

/// How much longer a coded body may be than its content. Encoders add some bytes at each flush. Without this limit a body of 10
/// MB could contain millions of empty blocks, each of which takes as much time as one with content.
const OVERHEAD: u64 = 64 * 1024;
const OVERHEAD_FACTOR: u64 = 8;

/// A body as the decoders read it, one frame in memory at a time.
pub(super) struct Source<B> {
    /// `None` after the body was passed on to the decoder of the next member.
    body: Option<Pin<Box<B>>>,
    chunk: Bytes,
    /// The number of bytes to decode before other tasks run.
    turn: usize,
    /// The number of coded bytes that were read.
    pub(super) read: u64,
    consumed: u64,
    /// The number of decoded bytes.
    pub(super) produced: u64,
    pub(super) trailers: Option<HeaderMap>,
    /// The error of the coded body, which the decoders cannot return.
    pub(super) error: Option<BoxError>,
}

impl<B> Source<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body: Some(Box::pin(body)), ..Self::default() }
    }
}

impl<B> Default for Source<B> {
    fn default() -> Self {
        Self {
            body: None,
            chunk: Bytes::new(),
            turn: TURN,
            read: 0,
            consumed: 0,
            produced: 0,
            trailers: None,
            error: None,
        }
    }
}

impl<B> fmt::Debug for Source<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("read", &self.read).finish_non_exhaustive()
    }
}

impl<B> AsyncBufRead for Source<B>
where
    B: BytesBody,
{
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.turn == 0 {
            this.turn = TURN;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.consumed > OVERHEAD + this.produced.saturating_mul(OVERHEAD_FACTOR) {
            return Poll::Ready(Err(io::Error::other(
                "the compressed data is longer than its content",
            )));
        }
        while this.chunk.is_empty() {
            let Some(body) = &mut this.body else { break };
            match ready!(body.as_mut().poll_frame(cx)) {
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
        Poll::Ready(Ok(&this.chunk[..this.chunk.len().min(SLICE)]))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.chunk.advance(amount);
        this.consumed += amount as u64;
        this.turn = this.turn.saturating_sub(amount);
    }
}

impl<B> AsyncRead for Source<B>
where
    B: BytesBody,
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
