//! The body that the parser reads. The parser takes all chunks that are ready, and buffers headers until they end.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::BodyDataStream;
use bytes::Bytes;
use futures_core::Stream;

use super::{
    too_large::{Part, too_large},
    uploads::Caps,
};

/// Counts the bytes that arrive while headers are expected. The parser buffers them until their end, which may never come.
#[derive(Default)]
pub(super) struct Gauge {
    expects_headers: AtomicBool,
    header_bytes: AtomicUsize,
}

impl Gauge {
    pub(super) fn expect_headers(&self) {
        self.header_bytes.store(0, Ordering::Relaxed);
        self.expects_headers.store(true, Ordering::Relaxed);
    }

    pub(super) fn expect_content(&self) {
        self.expects_headers.store(false, Ordering::Relaxed);
    }
}

/// The body with its limits, one chunk at a time. The parser takes all chunks that are ready before it parses one, so a fast
/// client would fill the memory.
pub(super) struct Gauged {
    has_given: bool,
    body: BodyDataStream,
    gauge: Arc<Gauge>,
    caps: Arc<Caps>,
    read: usize,
}

impl Gauged {
    pub(super) fn new(body: BodyDataStream, caps: Arc<Caps>) -> (Self, Arc<Gauge>) {
        let gauge = Arc::new(Gauge::default());
        let gauged = Self { has_given: false, body, gauge: Arc::clone(&gauge), caps, read: 0 };
        (gauged, gauge)
    }
}

impl Stream for Gauged {
    type Item = Result<Bytes, palisade_core::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let expects_headers = self.gauge.expects_headers.load(Ordering::Relaxed);
        if expects_headers
            && self.gauge.header_bytes.load(Ordering::Relaxed) > self.caps.part_headers
        {
            let error = too_large(Part::Headers, self.caps.part_headers);
            return Poll::Ready(Some(Err(error.into())));
        }
        match Pin::new(&mut self.body).poll_next(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                self.has_given = true;
                self.read += chunk.len();
                if self.read > self.caps.body {
                    return Poll::Ready(Some(Err(too_large(Part::Body, self.caps.body).into())));
                }
                if expects_headers {
                    self.gauge.header_bytes.fetch_add(chunk.len(), Ordering::Relaxed);
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
