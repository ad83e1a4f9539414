use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use palisade_core::{ApiError, ErrorContext, GrpcStream, Trail};

/// Renders rejections of a request in its format, and records them on its trail.
#[derive(Debug)]
pub(crate) struct Responder {
    context: ErrorContext,
    version: Version,
    pub(crate) observer: Observer,
}

/// The trail of an observed request, and the name of the layer on it.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    layer: &'static str,
    trail: Option<Trail>,
}

impl Responder {
    #[inline]
    pub(crate) fn for_request<B>(request: &Request<B>, layer: &'static str) -> Self {
        Self {
            context: ErrorContext::of_request(request),
            version: request.version(),
            observer: Observer {
                layer,
                trail: Trail::from_extensions(request.extensions()).cloned(),
            },
        }
    }

    /// Returns true if the request is gRPC or gRPC-web.
    pub(crate) fn is_grpc(&self) -> bool {
        self.context.is_grpc()
    }

    /// Returns a rejection that does not depend on the request's body.
    #[cold]
    pub(crate) fn refuse(&self, error: ApiError) -> Response<Bytes> {
        self.observer.note(&error);
        self.context.render(error)
    }

    /// Returns the gRPC response that an error can still end with a status, if the response is one.
    pub(crate) fn grpc_stream(&self, response: &HeaderMap) -> Option<Box<GrpcStream>> {
        GrpcStream::new(self.context.clone(), response).map(Box::new)
    }

    /// Returns a rejection of a request whose body is not read to its end.
    #[cold]
    pub(crate) fn refuse_unread(&self, error: ApiError) -> Response<Bytes> {
        if self.version > Version::HTTP_11 {
            return self.refuse(error);
        }
        // The rest of the body would block the next request on an HTTP/1 connection (RFC 9110, sections 15.5.9 and 15.5.14).
        self.refuse(error.with_header(header::CONNECTION, HeaderValue::from_static("close")))
    }
}

impl Observer {
    pub(crate) fn note(&self, error: &ApiError) {
        if let Some(trail) = &self.trail {
            trail.note_refusal(self.layer, error);
        }
    }
}
