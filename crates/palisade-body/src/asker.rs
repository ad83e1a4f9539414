use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use palisade_core::{ApiError, ErrorContext, GrpcStream, Trail};

/// Who made a request, and how to tell them that it does not go through.
#[derive(Debug)]
pub(crate) struct Asker {
    context: ErrorContext,
    version: Version,
    pub(crate) observer: Observer,
}

/// Who observes a request, if anybody does, and the layer that they hear of.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    layer: &'static str,
    trail: Option<Trail>,
}

impl Asker {
    pub(crate) fn of<B>(request: &Request<B>, layer: &'static str) -> Self {
        Self {
            context: ErrorContext::of_request(request),
            version: request.version(),
            observer: Observer { layer, trail: Trail::of(request.extensions()).cloned() },
        }
    }

    /// The answer to a request whose body is not in the way.
    #[cold]
    pub(crate) fn refuse(&self, error: ApiError) -> Response<Bytes> {
        self.observer.note(&error);
        self.context.render(error)
    }

    /// Returns the gRPC response that an error can still end with a status, if the response is one.
    pub(crate) fn grpc_stream(&self, response: &HeaderMap) -> Option<Box<GrpcStream>> {
        GrpcStream::new(self.context.clone(), response).map(Box::new)
    }

    /// The answer to a request whose body will not be read to its end.
    #[cold]
    pub(crate) fn refuse_unread(&self, error: ApiError) -> Response<Bytes> {
        if self.version > Version::HTTP_11 {
            return self.refuse(error);
        }
        // What is left of the body is in the way of the next request (RFC 9110, sections 15.5.9 and 15.5.14).
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
