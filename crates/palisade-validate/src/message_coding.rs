//! Compressed messages of gRPC, read with the decoders that tonic uses.

use std::{borrow::Cow, io::Read};

use http::{HeaderMap, HeaderName, HeaderValue};
use palisade_core::ApiError;

/// The codings that the features of this crate add to `identity`, in the words of `grpc-accept-encoding`.
const ACCEPTED: &str =
    match (cfg!(feature = "gzip"), cfg!(feature = "deflate"), cfg!(feature = "zstd")) {
        (false, false, false) => "identity",
        (true, false, false) => "gzip,identity",
        (false, true, false) => "deflate,identity",
        (false, false, true) => "zstd,identity",
        (true, true, false) => "gzip,deflate,identity",
        (true, false, true) => "gzip,zstd,identity",
        (false, true, true) => "deflate,zstd,identity",
        (true, true, true) => "gzip,deflate,zstd,identity",
    };

/// The largest window of a zstd frame, 8 MiB: a frame may ask for 2 GiB.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW_LOG: u32 = 23;

/// Undoes the compression of a message by the coding that `grpc-encoding` names.
///
/// # Errors
///
/// UNIMPLEMENTED for a coding whose feature is off, RESOURCE_EXHAUSTED for a message of more than `limit` bytes once it is
/// decompressed, INVALID_ARGUMENT for a message that does not match its coding.
#[cfg_attr(
    not(any(feature = "gzip", feature = "deflate", feature = "zstd")),
    allow(unused_variables, reason = "there is no coding to read")
)]
pub(crate) fn decompress<'a>(
    headers: &HeaderMap,
    message: &'a [u8],
    limit: usize,
) -> Result<Cow<'a, [u8]>, ApiError> {
    match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Err(malformed()
            .with_source("the message is marked as compressed, and grpc-encoding names no coding")),
        #[cfg(feature = "gzip")]
        Some(b"gzip") => read(flate2::read::GzDecoder::new(message), limit),
        #[cfg(feature = "deflate")]
        Some(b"deflate") => read(flate2::read::ZlibDecoder::new(message), limit),
        #[cfg(feature = "zstd")]
        Some(b"zstd") => {
            let decoder =
                zstd::stream::read::Decoder::with_buffer(message).and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                    Ok(decoder)
                });
            read(decoder.map_err(|error| malformed().with_source(error))?, limit)
        }
        Some(_) => Err(ApiError::not_implemented()
            .with_message("the compression of the message is not supported")
            .with_header(
                HeaderName::from_static("grpc-accept-encoding"),
                HeaderValue::from_static(ACCEPTED),
            )),
    }
}

/// Reads at most `limit` bytes, and one more to know that there are more.
#[cfg_attr(
    not(any(feature = "gzip", feature = "deflate", feature = "zstd")),
    allow(dead_code, reason = "there is no coding to read")
)]
fn read<'a>(decoder: impl Read, limit: usize) -> Result<Cow<'a, [u8]>, ApiError> {
    let mut message = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut message).map_err(|error| malformed().with_source(error))?;
    if message.len() > limit {
        return Err(ApiError::payload_too_large());
    }
    Ok(message.into())
}

fn malformed() -> ApiError {
    ApiError::bad_request().with_message("the message cannot be decompressed")
}
