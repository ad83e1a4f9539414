use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Frame;

use super::{
    ApiError, ErrorContext, Wire,
    grpc::{self, GRPC_STATUS},
};
use crate::grpc_web::WebTrailers;

/// A gRPC response whose head has been sent, and which an error can still end with a status.
///
/// Over HTTP a response that fails midway can only break off. A gRPC response ends with trailers, so its client can learn
/// the code, the message and the details of the error: over gRPC in the trailers of HTTP/2, over gRPC-web in the last frame
/// of the body.
///
/// ```
/// use bytes::Bytes;
/// use http::{HeaderMap, HeaderValue, Request, header};
/// use palisade_core::{ApiError, ErrorContext, GrpcStream};
///
/// let request = Request::post("/v1.Orders/List").header("content-type", "application/grpc").body(()).unwrap();
/// let context = ErrorContext::of_request(&request);
/// let mut response = HeaderMap::new();
/// response.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
///
/// let mut stream = GrpcStream::new(context, &response).unwrap();
/// stream.record_data(&Bytes::from_static(b"\0\0\0\0\x01x")); // a message of one byte
/// let last = stream.last_frame(&ApiError::payload_too_large()).unwrap();
/// assert_eq!(last.trailers_ref().unwrap()["grpc-status"], "8");
/// ```
#[derive(Debug)]
pub struct GrpcStream {
    context: ErrorContext,
    /// The frames of a gRPC-web body that were sent. `None` for native gRPC.
    web: Option<(Wire, WebTrailers)>,
}

impl GrpcStream {
    /// Returns `None` if the response is not a gRPC response that ends with trailers: its content type is another, its head
    /// already contains the status, or it is of a declared length.
    pub fn new(context: ErrorContext, response: &HeaderMap) -> Option<Self> {
        let wire = Wire::of_media_type(response.get(header::CONTENT_TYPE)?)?;
        if response.contains_key(GRPC_STATUS) || response.contains_key(header::CONTENT_LENGTH) {
            return None;
        }
        let web = match wire {
            Wire::Native => None,
            web => Some((web, WebTrailers::from_headers(response)?)),
        };
        Some(Self { context, web })
    }

    /// Records bytes of the body that were sent. A gRPC-web body can only be ended between two frames.
    #[inline]
    pub fn record_data(&mut self, data: &Bytes) {
        if let Some((_, frames)) = &mut self.web {
            frames.see(data);
        }
    }

    /// Returns the frame that ends the response with `error`. Nothing may follow it.
    ///
    /// Returns `None` in the middle of a gRPC-web message, because a client would read the status as a part of it. The response
    /// then has to be aborted.
    pub fn last_frame(&self, error: &ApiError) -> Option<Frame<Bytes>> {
        match &self.web {
            None => Some(Frame::trailers(grpc::trailers(error, &self.context))),
            Some((wire, frames)) if frames.is_between_frames() => {
                Some(Frame::data(grpc::web_trailers(*wire, error, &self.context)))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use http::{HeaderValue, Request};

    use super::*;

    fn stream(media_type: &'static str) -> GrpcStream {
        let request = Request::post("/v1.Orders/List").header("content-type", media_type);
        let context = ErrorContext::of_request(&request.body(()).unwrap());
        GrpcStream::new(context, &headers(&[("content-type", media_type)])).unwrap()
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    fn too_large() -> ApiError {
        ApiError::payload_too_large()
            .with_header(header::CONNECTION, HeaderValue::from_static("close"))
            .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with_header("x-shard".parse().unwrap(), HeaderValue::from_static("7"))
    }

    #[test]
    fn native_stream_ends_with_trailers_and_details() {
        let last = stream("application/grpc+proto").last_frame(&too_large()).unwrap();
        let trailers = last.into_trailers().unwrap();
        assert!(trailers["grpc-status"] == "8" && trailers["x-shard"] == "7");
        assert!(trailers.contains_key("grpc-status-details-bin"));
        assert!(!trailers.contains_key("connection") && !trailers.contains_key("cache-control"));
    }

    #[test]
    fn web_stream_ends_with_a_frame_between_two_messages() {
        for media_type in ["application/grpc-web+proto", "application/grpc-web-text"] {
            let mut stream = stream(media_type);
            let encode = |bytes: &[u8]| match media_type {
                "application/grpc-web-text" => Bytes::from(BASE64_STANDARD.encode(bytes)),
                _ => Bytes::copy_from_slice(bytes),
            };
            let message = encode(b"\0\0\0\0\x04abcd");
            stream.record_data(&message.slice(..4));
            assert!(stream.last_frame(&too_large()).is_none(), "in the middle of a message");
            stream.record_data(&message.slice(4..));
            let last = stream.last_frame(&too_large()).unwrap().into_data().unwrap();
            let mut reader =
                WebTrailers::from_headers(&headers(&[("content-type", media_type)])).unwrap();
            assert!(reader.see(&message).is_none());
            let trailers = reader.see(&last).unwrap();
            assert!(trailers["grpc-status"] == "8" && trailers["x-shard"] == "7");
            assert!(trailers.contains_key("grpc-status-details-bin"));
            assert!(!trailers.contains_key("connection"));
            assert!(!trailers.contains_key("cache-control"));
        }
    }

    #[test]
    fn stream_requires_a_response_that_can_end_with_a_status() {
        let request =
            Request::post("/").header("content-type", "application/grpc").body(()).unwrap();
        for fields in [
            &[("content-type", "text/plain")][..],
            &[],
            &[("content-type", "application/grpc"), ("grpc-status", "5")],
            &[("content-type", "application/grpc"), ("content-length", "5")],
            &[("content-type", "application/grpc-web"), ("content-encoding", "gzip")],
        ] {
            let context = ErrorContext::of_request(&request);
            assert!(GrpcStream::new(context, &headers(fields)).is_none(), "{fields:?}");
        }
    }
}
