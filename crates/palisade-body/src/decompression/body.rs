use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use palisade_core::{ApiError, BoxError};
use pin_project_lite::pin_project;
use tokio::io::{AsyncBufRead, ReadBuf};

use super::{
    coding::{Coding, Decoder},
    source::Source,
};
use crate::{
    codes,
    verdict::{Ruling, Verdict},
};

pin_project! {
    /// A request body with its content coding undone, within the limits of [`Decompression`](crate::Decompression).
    ///
    /// What is over a limit fails with [`http_body_util::LengthLimitError`], which axum's extractors know; what does not
    /// match its coding with an [`ApiError`] that is a 400 `INVALID_CONTENT_ENCODING`.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full};
    /// use palisade_body::DecodedBody;
    /// # use bytes::Bytes;
    ///
    /// async fn length<B>(request: Request<DecodedBody<B>>) -> Result<Response<Full<Bytes>>, palisade_core::BoxError>
    /// where
    ///     B: http_body::Body<Data = Bytes, Error: Into<palisade_core::BoxError>>,
    /// {
    ///     let length = request.into_body().collect().await?.to_bytes().len();
    ///     Ok(Response::new(Full::from(length.to_string())))
    /// }
    /// ```
    #[derive(Debug)]
    pub struct DecodedBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B> {
        Plain { #[pin] body: B },
        Coded { decoding: Option<Box<Decoding<B>>> },
    }
}

#[derive(Debug)]
struct Decoding<B> {
    decoder: Decoder<Source<B>>,
    buffer: BytesMut,
    caps: Caps,
    produced: u64,
    decoded: bool,
    verdict: Arc<Verdict>,
}

/// How much may become of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) output: u64,
    pub(super) ratio: u64,
}

/// Bytes that are decoded at a time.
const PIECE: usize = 16 * 1024;

/// Below this many bytes the ratio does not matter: a page of blanks is no bomb.
const HARMLESS: u64 = 64 * 1024;

impl<B> DecodedBody<B> {
    pub(super) fn plain(body: B) -> Self {
        Self { kind: Kind::Plain { body } }
    }
}

impl<B> DecodedBody<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn coded(body: B, coding: Coding, caps: Caps, verdict: Arc<Verdict>) -> Self {
        let decoding = Decoding {
            decoder: Decoder::new(coding, Source::new(body)),
            buffer: BytesMut::new(),
            caps,
            produced: 0,
            decoded: false,
            verdict,
        };
        Self { kind: Kind::Coded { decoding: Some(Box::new(decoding)) } }
    }
}

impl<B> http_body::Body for DecodedBody<B>
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
            KindProj::Plain { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Coded { decoding } => {
                let Some(running) = decoding else { return Poll::Ready(None) };
                let frame = ready!(running.poll_frame(cx)).transpose();
                if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
                    // What the decoder holds is free, and nothing comes after an error.
                    *decoding = None;
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Coded { decoding } => decoding.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Coded { .. } => SizeHint::default(),
        }
    }
}

impl<B> Decoding<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BoxError>> {
        if !self.decoded {
            self.buffer.resize(PIECE, 0);
            let mut piece = ReadBuf::new(&mut self.buffer);
            let outcome = ready!(self.decoder.poll_read(cx, &mut piece));
            let length = piece.filled().len();
            if let Err(error) = outcome {
                let broke_off = self.decoder.source().error.take();
                return Poll::Ready(Err(broke_off.unwrap_or_else(|| malformed(error))));
            }
            if length > 0 {
                self.produced += length as u64;
                if let Some(ruling) = self.too_much() {
                    self.verdict.pass(ruling);
                    return Poll::Ready(Err(ruling.body_error()));
                }
                return Poll::Ready(Ok(Some(Frame::data(self.buffer.split_to(length).freeze()))));
            }
            self.decoded = true;
        }
        // Bytes after the end would be dropped without a word. Trailers may be there.
        let source = self.decoder.source();
        let rest = match ready!(Pin::new(&mut *source).poll_fill_buf(cx)) {
            Ok(rest) => rest.len(),
            Err(error) => {
                return Poll::Ready(Err(source.error.take().unwrap_or_else(|| malformed(error))));
            }
        };
        if rest > 0 {
            return Poll::Ready(Err(malformed("there is more after the end")));
        }
        Poll::Ready(Ok(source.trailers.take().map(Frame::trailers)))
    }

    fn too_much(&mut self) -> Option<Ruling> {
        if self.produced > self.caps.output {
            return Some(Ruling::InflatesTooFar);
        }
        let read = self.decoder.source().read;
        let much = self.produced > HARMLESS && self.produced > read.saturating_mul(self.caps.ratio);
        much.then_some(Ruling::InflatesTooMuch)
    }
}

#[cold]
fn malformed(why: impl Into<BoxError>) -> BoxError {
    ApiError::from(codes::INVALID_CONTENT_ENCODING).with_source(why).into()
}
