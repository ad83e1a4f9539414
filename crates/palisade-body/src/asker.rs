use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use palisade_core::{ApiError, ErrorContext, Trail};

/// Who made a request, and how to tell them, and who observes it, that it does not go through.
#[derive(Debug)]
pub(crate) struct Asker {
    context: ErrorContext,
    version: Version,
    trail: Option<Trail>,
}

impl Asker {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        Self {
            context: ErrorContext::of_request(request),
            version: request.version(),
            trail: Trail::of(request.extensions()).cloned(),
        }
    }

    /// Tells who observes the request that `layer` refused it.
    pub(crate) fn note(&self, layer: &'static str, error: &ApiError) {
        if let Some(trail) = &self.trail {
            trail.note_refusal(layer, error);
        }
    }

    /// For the body of the response, which takes over from here.
    pub(crate) fn take_trail(&mut self) -> Option<Trail> {
        self.trail.take()
    }

    /// The answer to a request whose body is not in the way.
    #[cold]
    pub(crate) fn refuse(&self, layer: &'static str, error: ApiError) -> Response<Bytes> {
        self.note(layer, &error);
        self.context.render(error)
    }

    /// The answer to a request whose body will not be read to its end.
    #[cold]
    pub(crate) fn refuse_unread(&self, layer: &'static str, error: ApiError) -> Response<Bytes> {
        if self.version > Version::HTTP_11 {
            return self.refuse(layer, error);
        }
        // What is left of the body is in the way of the next request (RFC 9110, sections 15.5.9 and 15.5.14).
        self.refuse(layer, error.with_header(header::CONNECTION, HeaderValue::from_static("close")))
    }
}
