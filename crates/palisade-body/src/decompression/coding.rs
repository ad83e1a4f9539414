use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, header};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// A content coding that we can undo (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    #[cfg(feature = "gzip")]
    Gzip,
    #[cfg(feature = "deflate")]
    Deflate,
    #[cfg(feature = "brotli")]
    Brotli,
    #[cfg(feature = "zstd")]
    Zstd,
}

/// A coding that we cannot undo, or several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsupported;

impl Coding {
    /// Returns the content coding of the body. `None` without one.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Unsupported> {
        let mut coding = None;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            for name in value.to_str().map_err(|_| Unsupported)?.split(',').map(str::trim) {
                if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                    continue;
                }
                // Nested codings would multiply the possible ratio.
                if coding.replace(Self::named(name).ok_or(Unsupported)?).is_some() {
                    return Err(Unsupported);
                }
            }
        }
        Ok(coding)
    }

    fn named(name: &str) -> Option<Self> {
        #[cfg(feature = "gzip")]
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return Some(Self::Gzip);
        }
        #[cfg(feature = "deflate")]
        if name.eq_ignore_ascii_case("deflate") {
            return Some(Self::Deflate);
        }
        #[cfg(feature = "brotli")]
        if name.eq_ignore_ascii_case("br") {
            return Some(Self::Brotli);
        }
        #[cfg(feature = "zstd")]
        if name.eq_ignore_ascii_case("zstd") {
            return Some(Self::Zstd);
        }
        None
    }

    /// Returns true if a body is a series of members: RFC 1952, section 2.2, and RFC 8878, section 3.1. To stop after the
    /// first would cut it short.
    pub(super) fn has_members(self) -> bool {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip => true,
            #[cfg(feature = "deflate")]
            Self::Deflate => false,
            #[cfg(feature = "brotli")]
            Self::Brotli => false,
            #[cfg(feature = "zstd")]
            Self::Zstd => true,
        }
    }

    /// Returns the `Accept-Encoding` for clients with an unsupported coding.
    pub(super) fn all() -> HeaderValue {
        let names = [
            (cfg!(feature = "gzip"), "gzip"),
            (cfg!(feature = "deflate"), "deflate"),
            (cfg!(feature = "brotli"), "br"),
            (cfg!(feature = "zstd"), "zstd"),
        ];
        let names: Vec<_> =
            names.into_iter().filter_map(|(enabled, name)| enabled.then_some(name)).collect();
        HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static("identity"))
    }
}

/// Undoes a coding, up to the end of one member.
#[derive(Debug)]
pub(super) enum Decoder<R> {
    #[cfg(feature = "gzip")]
    Gzip(async_compression::tokio::bufread::GzipDecoder<R>),
    #[cfg(feature = "deflate")]
    Deflate(async_compression::tokio::bufread::ZlibDecoder<R>),
    #[cfg(feature = "brotli")]
    Brotli(async_compression::tokio::bufread::BrotliDecoder<R>),
    #[cfg(feature = "zstd")]
    Zstd(async_compression::tokio::bufread::ZstdDecoder<R>),
}

/// The largest window of a zstd frame, 8 MiB, as RFC 9659 has it for HTTP: a frame may ask for 2 GiB.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW_LOG: u32 = 23;

impl<R: AsyncBufRead + Unpin> Decoder<R> {
    pub(super) fn new(coding: Coding, source: R) -> Self {
        match coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip => Self::Gzip(async_compression::tokio::bufread::GzipDecoder::new(source)),
            #[cfg(feature = "deflate")]
            Coding::Deflate => {
                Self::Deflate(async_compression::tokio::bufread::ZlibDecoder::new(source))
            }
            #[cfg(feature = "brotli")]
            Coding::Brotli => {
                Self::Brotli(async_compression::tokio::bufread::BrotliDecoder::new(source))
            }
            #[cfg(feature = "zstd")]
            Coding::Zstd => {
                let window = async_compression::zstd::DParameter::window_log_max(ZSTD_WINDOW_LOG);
                let params = &[window];
                Self::Zstd(async_compression::tokio::bufread::ZstdDecoder::with_params(
                    source, params,
                ))
            }
        }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(decoder) => Pin::new(decoder).poll_read(cx, into),
            #[cfg(feature = "deflate")]
            Self::Deflate(decoder) => Pin::new(decoder).poll_read(cx, into),
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => Pin::new(decoder).poll_read(cx, into),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => Pin::new(decoder).poll_read(cx, into),
        }
    }

    pub(super) fn source(&mut self) -> &mut R {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(decoder) => decoder.get_mut(),
            #[cfg(feature = "deflate")]
            Self::Deflate(decoder) => decoder.get_mut(),
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => decoder.get_mut(),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }
}
