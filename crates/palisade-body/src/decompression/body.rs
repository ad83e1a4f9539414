use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use palisade_core::{BoxError, BytesBody};
use pin_project_lite::pin_project;
use tokio::io::{AsyncBufRead, ReadBuf};

use super::{
    coding::{Coding, Decoder},
    source::Source,
};
use crate::fault::{BodyFault, FaultRecord};

pin_project! {
    /// A decompressed request body, within the limits of [`Decompression`](crate::Decompression).
    ///
    /// A body over a limit fails with [`http_body_util::LengthLimitError`], which axum's extractors know; a body that does not
    /// match its coding fails with an [`ApiError`](palisade_core::ApiError), a 400 `INVALID_CONTENT_ENCODING`. The client gets
    /// the error of the layer in both cases, even if the handler or an extractor replaces the body's error.
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
    coding: Coding,
    decoder: Decoder<Source<B>>,
    /// Members that have begun.
    members: u64,
    buffer: BytesMut,
    caps: Caps,
    decoded: bool,
    fault_record: Arc<FaultRecord>,
}

/// The limits of a decompressed body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) output: u64,
    pub(super) ratio: u64,
}

/// Bytes that are decoded at a time.
const PIECE: usize = 16 * 1024;

/// Below this many bytes the ratio does not matter: a page of blanks is no bomb.
const HARMLESS: u64 = 64 * 1024;

/// Each member of a body makes a decoder of its own, which costs some microseconds however short the member is: a body of
/// 10 MB has room for 500 000 empty ones. Blocks of `bgzip` and `pigz` are of 64 KiB and more.
const FREE_MEMBERS: u64 = 64;
const BYTES_PER_MEMBER: u64 = 1024;

impl<B> DecodedBody<B> {
    pub(super) fn plain(body: B) -> Self {
        Self { kind: Kind::Plain { body } }
    }
}

impl<B> DecodedBody<B>
where
    B: BytesBody,
{
    pub(super) fn coded(
        body: B,
        coding: Coding,
        caps: Caps,
        fault_record: Arc<FaultRecord>,
    ) -> Self {
        let decoding = Decoding {
            coding,
            members: 1,
            decoder: Decoder::new(coding, Source::new(body)),
            buffer: BytesMut::new(),
            caps,
            decoded: false,
            fault_record,
        };
        Self { kind: Kind::Coded { decoding: Some(Box::new(decoding)) } }
    }
}

impl<B> http_body::Body for DecodedBody<B>
where
    B: BytesBody,
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
                    // Frees the decoder and ends the body after an error.
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
    B: BytesBody,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BoxError>> {
        while !self.decoded {
            self.buffer.resize(PIECE, 0);
            let mut piece = ReadBuf::new(&mut self.buffer);
            let outcome = ready!(self.decoder.poll_read(cx, &mut piece));
            let length = piece.filled().len();
            if let Err(error) = outcome {
                return Poll::Ready(Err(self.failure(error)));
            }
            if length > 0 {
                self.decoder.source().produced += length as u64;
                if let Some(fault) = self.too_much() {
                    self.fault_record.record(fault);
                    return Poll::Ready(Err(fault.body_error()));
                }
                return Poll::Ready(Ok(Some(Frame::data(self.buffer.split_to(length).freeze()))));
            }
            if ready!(self.poll_rest(cx))? == 0 {
                self.decoded = true;
            } else {
                self.begin_member()?;
            }
        }
        Poll::Ready(Ok(self.decoder.source().trailers.take().map(Frame::trailers)))
    }

    /// Returns how many bytes are there after the end of a member. Trailers may be there too.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BoxError>> {
        let rest = ready!(Pin::new(self.decoder.source()).poll_fill_buf(cx));
        let rest = rest.map(<[u8]>::len);
        Poll::Ready(rest.map_err(|error| self.failure(error)))
    }

    /// Bytes after the end of a coding without members would be dropped without a word.
    fn begin_member(&mut self) -> Result<(), BoxError> {
        if !self.coding.has_members() {
            return Err(self.malformed("bytes follow the end of the compressed data"));
        }
        self.members += 1;
        let source = std::mem::take(self.decoder.source());
        let free = FREE_MEMBERS + source.read.saturating_add(source.produced) / BYTES_PER_MEMBER;
        self.decoder = Decoder::new(self.coding, source);
        if self.members > free {
            return Err(self.malformed("too many gzip members for the size of the body"));
        }
        Ok(())
    }

    /// Returns the error of the coded body if it failed, else the error of the decoder.
    fn failure(&mut self, error: io::Error) -> BoxError {
        match self.decoder.source().error.take() {
            Some(broke_off) => broke_off,
            None => self.malformed(error),
        }
    }

    #[cold]
    fn malformed(&self, why: impl Into<BoxError>) -> BoxError {
        self.fault_record.record(BodyFault::Malformed);
        BodyFault::Malformed.error().with_source(why).into()
    }

    fn too_much(&mut self) -> Option<BodyFault> {
        let (read, produced) = (self.decoder.source().read, self.decoder.source().produced);
        if produced > self.caps.output {
            return Some(BodyFault::DecompressedTooLarge);
        }
        let much = produced > HARMLESS && produced > read.saturating_mul(self.caps.ratio);
        much.then_some(BodyFault::RatioTooHigh)
    }
}
