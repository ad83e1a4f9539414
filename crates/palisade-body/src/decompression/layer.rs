use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, header};
use palisade_core::{AcceptsBody, ApiError, Body, BytesBody, remove_header};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    DecodedBody, DecompressionFuture, NAME,
    body::Caps,
    coding::{Coding, Unsupported},
    future::Watch,
};
use crate::{ByteSize, codes, fault::FaultRecord, responder::Responder};

/// Decompresses request bodies (RFC 9110, section 8.4).
///
/// | coding | feature |
/// | --- | --- |
/// | `gzip`, of any number of members | `gzip` |
/// | `deflate`, which is the zlib format | `deflate` |
/// | `br` | `brotli` |
/// | `zstd`, with windows up to 8 MiB (RFC 9659) | `zstd` |
///
/// The layer rejects a request in these cases. The rejection is final: the client gets it even if the handler, or an
/// extractor of axum, replaces the error of the body.
///
/// | body | rejection |
/// | --- | --- |
/// | larger than the limit of [`new`](Self::new), once it is decompressed | 413 `DECOMPRESSED_TOO_LARGE` |
/// | over [`max_ratio`](Self::max_ratio): a few bytes can decompress to gigabytes | 413 `COMPRESSION_RATIO_TOO_HIGH` |
/// | does not match its coding, is longer than eight times its content and 64 KiB, or has more than 64 gzip members or zstd frames and another for each KiB, sent or decompressed | 400 `INVALID_CONTENT_ENCODING` |
/// | in another coding, or in several | 415 `UNSUPPORTED_CONTENT_ENCODING`; `Accept-Encoding` names the supported ones (RFC 9110, section 15.5.16) |
///
/// Bytes are decoded as they are read, 16 KiB at a time, and none beyond a limit. The inner service sees neither
/// `Content-Encoding` nor the `Content-Length` of the coded body.
///
/// Put it inside a [`BodyLimit`](crate::BodyLimit), which counts the bytes as they are sent.
///
/// ```
/// use palisade_body::{BodyLimit, ByteSize, Decompression};
/// use tower::ServiceBuilder;
///
/// let layers = ServiceBuilder::new()
///     .layer(BodyLimit::new(ByteSize::mb(1)))
///     .layer(Decompression::new(ByteSize::mb(10)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Decompression {
    caps: Caps,
}

impl Decompression {
    /// Limits bodies to this size after decompression, and to 100 decompressed bytes for each byte sent.
    pub fn new(limit: impl Into<ByteSize>) -> Self {
        Self { caps: Caps { output: limit.into().bytes(), ratio: 100 } }
    }

    /// Sets the maximum number of decompressed bytes for each byte sent. Default: 100. Checked beyond 64 KiB of decompressed
    /// bytes. Text and JSON rarely reach 20; repeated data reaches 1000.
    #[must_use]
    pub fn max_ratio(mut self, ratio: u32) -> Self {
        self.caps.ratio = u64::from(ratio);
        self
    }
}

impl<S> Layer<S> for Decompression {
    type Service = DecompressionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DecompressionService { inner, caps: self.caps }
    }
}

/// A service whose requests have plain bodies. Made by [`Decompression`].
#[derive(Clone, Debug)]
pub struct DecompressionService<S> {
    inner: S,
    caps: Caps,
}

impl<S, ReqB> Service<Request<ReqB>> for DecompressionService<S>
where
    S: AcceptsBody<DecodedBody<ReqB>>,
    ReqB: BytesBody,
{
    type Response = Response<Body<S::ResponseBody>>;
    type Error = S::Error;
    type Future = DecompressionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        // No bytes are no bytes, however they are coded.
        let coding = if request.body().is_end_stream() {
            Ok(None)
        } else {
            Coding::from_headers(request.headers())
        };
        match coding {
            Ok(None) => {
                DecompressionFuture::inner(self.inner.call(request.map(DecodedBody::plain)), None)
            }
            Ok(Some(coding)) => {
                let fault_record = Arc::<FaultRecord>::default();
                let watch = Watch {
                    fault_record: Arc::clone(&fault_record),
                    responder: Responder::for_request(&request, NAME),
                };
                remove_header(request.headers_mut(), &header::CONTENT_ENCODING);
                remove_header(request.headers_mut(), &header::CONTENT_LENGTH);
                let caps = self.caps;
                let request =
                    request.map(|body| DecodedBody::coded(body, coding, caps, fault_record));
                DecompressionFuture::inner(self.inner.call(request), Some(Box::new(watch)))
            }
            Err(Unsupported) => {
                let error = ApiError::from(codes::UNSUPPORTED_CONTENT_ENCODING)
                    .with_header(header::ACCEPT_ENCODING, Coding::all());
                DecompressionFuture::refused(
                    Responder::for_request(&request, NAME).refuse_unread(error),
                )
            }
        }
    }
}
