use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header, request,
};

use super::{ApiError, ErrorFormat, GrpcCode, format, grpc, grpc_details};
use crate::RequestId;

/// How far an error has come on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rendered {
    /// Not at all, or by a handler that knew nothing of the request.
    No,
    /// In the default format, by somebody who knew the request.
    ByDefault,
    /// In the format that the user chose. Nobody touches it again.
    AsChosen,
}

/// What describes a body, and is wrong of another one.
pub(super) const OF_THE_BODY: [HeaderName; 11] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
];

/// A failure that called itself OK would be a success to the client.
pub(super) fn failure_code(error: &ApiError) -> GrpcCode {
    match error.grpc_code() {
        GrpcCode::Ok => GrpcCode::Unknown,
        code => code,
    }
}

/// What an error needs to know of the request that it answers.
///
/// Take it before the request goes inward, for an answer that may have to be made later:
///
/// ```
/// use palisade_core::{ApiError, ErrorContext};
///
/// let request = http::Request::post("/v1.Orders/Get").header("content-type", "application/grpc").body(()).unwrap();
/// let context = ErrorContext::of_request(&request);
///
/// // over gRPC an error is HTTP 200 with the code in `grpc-status`
/// let response = context.render(ApiError::rate_limited());
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["grpc-status"], "8");
/// ```
#[derive(Clone, Debug)]
pub struct ErrorContext {
    /// Where a gRPC request goes: `/package.Service/Method`.
    grpc: Option<Uri>,
    bodiless: bool,
    /// False where nothing is known of the request.
    known: bool,
    request_id: Option<RequestId>,
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

const GRPC_RETRY_PUSHBACK_MS: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

impl ErrorContext {
    /// Reads the head of a request.
    pub fn of(request: &request::Parts) -> Self {
        Self::read(&request.method, &request.uri, &request.headers, &request.extensions)
    }

    /// Reads a request.
    pub fn of_request<B>(request: &Request<B>) -> Self {
        Self::read(request.method(), request.uri(), request.headers(), request.extensions())
    }

    fn read(method: &Method, uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Self {
        Self {
            grpc: grpc::is_grpc(headers).then(|| uri.clone()),
            bodiless: method == Method::HEAD,
            known: true,
            request_id: extensions.get().cloned(),
        }
    }

    /// For an error that is made far from any request.
    #[cfg(feature = "axum")]
    pub(crate) fn unknown() -> Self {
        Self { grpc: None, bodiless: false, known: false, request_id: None }
    }

    /// Renders the default format: the envelope, or gRPC where the request is gRPC. The error stays in the
    /// response's extensions, where an [`ErrorLayer`](super::ErrorLayer) finds it.
    pub fn render(&self, error: ApiError) -> Response<Bytes> {
        let rendered = if self.known { Rendered::ByDefault } else { Rendered::No };
        let mut response = Response::new(Bytes::new());
        response.headers_mut().extend(error.headers().clone());
        self.dress(response, error, &ErrorFormat::Envelope, rendered)
    }

    pub(super) fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.grpc.is_some()
    }

    /// The service that a gRPC request is for.
    pub(super) fn grpc_service(&self) -> Option<&str> {
        self.grpc.as_ref()?.path().strip_prefix('/')?.split_once('/').map(|(service, _)| service)
    }

    pub(super) fn is_bodiless(&self) -> bool {
        self.bodiless
    }

    /// Gives a response the status and the body of `error` and leaves its other headers alone: those that the error
    /// owes are there from its first rendering, others were added by the policies outside of it.
    pub(super) fn dress(
        &self,
        mut response: Response<Bytes>,
        mut error: ApiError,
        format: &ErrorFormat,
        rendered: Rendered,
    ) -> Response<Bytes> {
        let headers = response.headers_mut();
        for name in OF_THE_BODY {
            headers.remove(name);
        }
        if self.is_grpc() {
            let details = grpc_details::encode(&error, self);
            headers.insert(GRPC_STATUS_DETAILS, details);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, HeaderValue::from(failure_code(&error) as i32));
            headers.insert(GRPC_MESSAGE, grpc::encode_message(error.message()));
            if let Some(pushback) = grpc::retry_pushback(&error) {
                headers.insert(GRPC_RETRY_PUSHBACK_MS, pushback);
            }
            *response.status_mut() = StatusCode::OK;
            *response.body_mut() = Bytes::new();
        } else {
            let (media_type, body) = format::render(format, &error, self);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            *response.status_mut() = error.status();
            *response.body_mut() = self.without_body_for_head(body, response.headers_mut());
        }
        error.set_rendered(rendered);
        response.extensions_mut().insert(error);
        response
    }

    /// A HEAD request gets the headers of the answer, its length included, and no body.
    pub(super) fn without_body_for_head(&self, body: Bytes, headers: &mut HeaderMap) -> Bytes {
        if self.bodiless {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            Bytes::new()
        } else {
            body
        }
    }
}
