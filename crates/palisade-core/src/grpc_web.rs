//! The trailers of a gRPC-web response, which are the last frame of its body.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::error::Wire;

/// The maximum length of trailers, similar to the limits of servers and proxies on header fields.
const MOST: usize = 8 * 1024;

/// A frame begins with its flags and four bytes of length.
const FRAME_HEAD: usize = 5;

/// The flags of a frame with trailers and of a compressed frame.
const TRAILERS: u8 = 0x80;
const COMPRESSED: u8 = 0x01;

/// Four characters at a time, each four with or without padding: servers encode one piece of a body after the other.
const QUADS: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Finds the trailers in a streaming body. Stores no messages, and stops at the first malformed frame.
#[derive(Debug)]
pub(crate) struct WebTrailers {
    /// The incomplete group of base64 characters.
    quad: Option<Vec<u8>>,
    at: At,
}

#[derive(Debug)]
enum At {
    Head(Vec<u8>),
    Message { left: usize },
    Trailers { text: Vec<u8>, length: usize },
    Over,
}

impl WebTrailers {
    /// Returns a parser if these are the headers of an uncompressed gRPC-web response.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(header::CONTENT_ENCODING) {
            return None;
        }
        let quad = match Wire::of_media_type(headers.get(header::CONTENT_TYPE)?)? {
            Wire::Native => return None,
            Wire::Web => None,
            Wire::WebText => Some(Vec::with_capacity(4)),
        };
        Some(Self { quad, at: At::Head(Vec::new()) })
    }

    /// The next bytes of the body. Answers once, when the trailers are whole.
    pub(crate) fn see(&mut self, data: &[u8]) -> Option<HeaderMap> {
        let Some(quad) = &mut self.quad else { return self.at.see(data) };
        for byte in data {
            if matches!(self.at, At::Over) {
                break;
            }
            quad.push(*byte);
            if quad.len() == 4 {
                let mut bytes = [0; 3];
                let Ok(count) = QUADS.decode_slice(&*quad, &mut bytes) else {
                    self.at = At::Over;
                    break;
                };
                quad.clear();
                if let Some(trailers) = self.at.see(&bytes[..count]) {
                    return Some(trailers);
                }
            }
        }
        None
    }

    /// Returns true if all frames that were seen are whole messages, so that trailers can follow.
    pub(crate) fn is_between_frames(&self) -> bool {
        let whole = self.quad.as_ref().is_none_or(Vec::is_empty);
        whole && matches!(&self.at, At::Head(head) if head.is_empty())
    }
}

impl At {
    fn see(&mut self, mut data: &[u8]) -> Option<HeaderMap> {
        while !data.is_empty() {
            match self {
                Self::Head(head) => {
                    take(head, FRAME_HEAD, &mut data);
                    if let [flags, length @ ..] = &**head
                        && let Ok(length) = <[u8; 4]>::try_from(length)
                    {
                        *self = Self::frame(*flags, u32::from_be_bytes(length) as usize);
                    }
                }
                Self::Message { left } => {
                    let passed = (*left).min(data.len());
                    data = &data[passed..];
                    *left -= passed;
                    if *left == 0 {
                        *self = Self::Head(Vec::new());
                    }
                }
                Self::Trailers { text, length } => {
                    take(text, *length, &mut data);
                    if text.len() == *length {
                        let trailers = fields(text);
                        *self = Self::Over;
                        return trailers;
                    }
                }
                Self::Over => break,
            }
        }
        None
    }

    fn frame(flags: u8, length: usize) -> Self {
        match flags {
            TRAILERS if (1..=MOST).contains(&length) => Self::Trailers { text: Vec::new(), length },
            _ if flags & TRAILERS == 0 && flags & !COMPRESSED == 0 && length > 0 => {
                Self::Message { left: length }
            }
            0 | COMPRESSED => Self::Head(Vec::new()),
            _ => Self::Over,
        }
    }
}

/// Moves bytes until `into` has `whole` of them.
fn take(into: &mut Vec<u8>, whole: usize, from: &mut &[u8]) {
    let (some, rest) = from.split_at((whole - into.len()).min(from.len()));
    into.extend_from_slice(some);
    *from = rest;
}

/// Parses lines of `name: value`, as in HTTP/1.1. Returns `None` if one is malformed.
fn fields(text: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.is_empty() {
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        fields.append(name, value);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[flags][..], &length, payload].concat()
    }

    fn reader(media_type: &'static str) -> WebTrailers {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        WebTrailers::from_headers(&headers).unwrap()
    }

    /// Returns the status of a body that arrives in pieces of this many bytes.
    fn status(media_type: &'static str, body: &[u8], pieces: usize) -> Option<String> {
        let mut reader = reader(media_type);
        let mut found = body.chunks(pieces).filter_map(|piece| reader.see(piece));
        let trailers = found.next();
        assert!(found.next().is_none(), "it answers once");
        Some(trailers?.get("grpc-status")?.to_str().unwrap().to_owned())
    }

    const BINARY: &str = "application/grpc-web+proto";
    const TEXT: &str = "application/grpc-web-text";
    const NOT_FOUND: &[u8] = b"grpc-status:5\r\ngrpc-message: no such thing\r\n";

    #[test]
    fn finds_the_status_across_any_chunks() {
        let body = [frame(0, b"hello"), frame(1, &[7; 300]), frame(0, b""), frame(0x80, NOT_FOUND)];
        let whole = BASE64_STANDARD.encode(body.concat());
        let one_by_one: String = body.iter().map(|frame| BASE64_STANDARD.encode(frame)).collect();
        assert!(one_by_one.contains('='), "the pieces have paddings of their own");
        for pieces in 1..400 {
            assert_eq!(status(BINARY, &body.concat(), pieces).as_deref(), Some("5"));
            for text in [&whole, &one_by_one] {
                assert_eq!(status(TEXT, text.as_bytes(), pieces).as_deref(), Some("5"));
            }
        }
    }

    #[test]
    fn malformed_trailers_are_ignored() {
        let message = frame(0, b"grpc-status:0\r\n");
        let huge =
            frame(0x80, &[b"x:".as_slice(), &vec![b'y'; MOST], b"\r\ngrpc-status:5"].concat());
        let cut = frame(0x80, NOT_FOUND);
        for body in [
            message,
            huge,
            cut[..cut.len() - 1].to_vec(),
            frame(0x80, b"grpc-status"),
            frame(0x80, b"grpc status: 5\r\n"),
            frame(0x81, NOT_FOUND),
            frame(0x02, NOT_FOUND),
            [frame(0x80, b""), cut.clone()].concat(),
        ] {
            assert_eq!(status(BINARY, &body, 7), None, "{body:?}");
        }
        assert_eq!(status(TEXT, b"AAAA*AAA", 3), None);
    }

    #[test]
    fn other_media_types_are_ignored() {
        for (media_type, encoding) in [
            ("application/grpc", None),
            ("application/json", None),
            ("application/grpc-web", Some("gzip")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            if let Some(encoding) = encoding {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            assert!(WebTrailers::from_headers(&headers).is_none(), "{media_type}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>, text: bool, pieces in 1_usize..9) {
            let mut reader = reader(if text { TEXT } else { BINARY });
            for piece in body.chunks(pieces) {
                reader.see(piece);
            }
        }
    }
}
