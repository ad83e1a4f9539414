use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header, request, response,
};

use super::{
    ApiError, ErrorFormat, bodies,
    grpc::{self, Wire},
    log::log,
    problem_types::ProblemTypes,
};
use crate::{RequestId, set_header};

/// Whether and how an error has been rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rendered {
    /// Not rendered, or rendered without data of the request.
    No,
    /// Rendered in the default format with data of the request.
    ByDefault,
    /// Rendered in the configured format. It is final.
    AsChosen,
}

/// The headers that describe a body, and do not apply to another one.
pub(crate) const OF_THE_BODY: [HeaderName; 14] = [
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
    header::CONTENT_DISPOSITION,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// The headers among them that describe the requested resource if an error sets them: `Content-Range` of a 416, `ETag` of a 304
/// or 412.
const OF_WHAT_WAS_ASKED_FOR: [HeaderName; 5] = [
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
];

/// Returns true for a header that describes the body that `error` replaces.
pub(super) fn is_of_the_body(name: &HeaderName, error: &ApiError) -> bool {
    let owed = OF_WHAT_WAS_ASKED_FOR.contains(name) && error.headers().contains_key(name);
    OF_THE_BODY.contains(name) && !owed
}

/// The header fields of an error's own: content type and length, those of a gRPC status, and `Vary`.
const OWN_FIELDS: usize = 16;

/// Makes room for the headers of an error. If the response has the maximum number of fields, all of them are removed, because
/// an error without its content type or gRPC status would be another response.
pub(super) fn make_room(response: &mut HeaderMap, error: &ApiError) {
    if response.try_reserve(OWN_FIELDS + error.headers().len()).is_err() {
        response.clear();
    }
}

/// The properties of a request that are needed to render an error.
///
/// Create it before the request is passed on, for a later error:
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
    /// The protocol and the path of a gRPC request: `/package.Service/Method`.
    grpc: Option<(Wire, Uri)>,
    is_head: bool,
    /// False without a request.
    known: bool,
    request_id: Option<RequestId>,
}

impl ErrorContext {
    /// Reads the head of a request.
    pub fn from_request(request: &request::Parts) -> Self {
        Self::read(&request.method, &request.uri, &request.headers, &request.extensions)
    }

    /// Reads a request.
    pub fn of_request<B>(request: &Request<B>) -> Self {
        Self::read(request.method(), request.uri(), request.headers(), request.extensions())
    }

    fn read(method: &Method, uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Self {
        Self {
            grpc: Wire::from_headers(headers).map(|wire| (wire, uri.clone())),
            is_head: method == Method::HEAD,
            known: true,
            request_id: extensions.get().cloned(),
        }
    }

    /// Creates a context from a response, for an error that replaces it without the request. An
    /// [`ErrorLayer`](super::ErrorLayer) renders the error again with the request.
    pub(crate) fn of_response(response: &response::Parts) -> Self {
        Self {
            grpc: Wire::from_headers(&response.headers).map(|wire| (wire, Uri::default())),
            is_head: false,
            known: false,
            request_id: None,
        }
    }

    /// Creates a context without a request.
    #[cfg(feature = "axum")]
    pub(crate) fn unknown() -> Self {
        Self { grpc: None, is_head: false, known: false, request_id: None }
    }

    /// Renders the default format: the envelope, or gRPC (native, web or web-text) if the request is gRPC. The error stays in
    /// the response's extensions, where an [`ErrorLayer`](super::ErrorLayer) finds it.
    ///
    /// A 5xx is logged with its cause, at level ERROR, target `palisade::errors`.
    pub fn render(&self, mut error: ApiError) -> Response<Bytes> {
        let rendered = if self.known { Rendered::ByDefault } else { Rendered::No };
        // Without a request, an outer error layer logs it with more data.
        if self.known && error.status().is_server_error() {
            log(&mut error, self.request_id());
        }
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        // There is room: the error has no more than a response may have.
        make_room(headers, &error);
        for (name, value) in error.headers() {
            let _ = headers.try_append(name.clone(), value.clone());
        }
        self.dress(response, error, &ErrorFormat::Envelope, &ProblemTypes::default(), rendered)
    }

    pub(super) fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }

    pub(super) fn set_request_id(&mut self, id: RequestId) {
        self.request_id = Some(id);
    }

    /// Returns true if the request is gRPC or gRPC-web.
    #[doc(hidden)]
    pub fn is_grpc(&self) -> bool {
        self.grpc.is_some()
    }

    /// The service that a gRPC request is for.
    pub(super) fn grpc_service(&self) -> Option<&str> {
        let (_, uri) = self.grpc.as_ref()?;
        uri.path().strip_prefix('/')?.split_once('/').map(|(service, _)| service)
    }

    /// Gives a response the status and the body of `error` and leaves its other headers alone: those that the error
    /// owes are there from its first rendering, others were added by the policies outside of it.
    pub(super) fn dress(
        &self,
        mut response: Response<Bytes>,
        mut error: ApiError,
        format: &ErrorFormat,
        types: &ProblemTypes,
        rendered: Rendered,
    ) -> Response<Bytes> {
        let headers = response.headers_mut();
        make_room(headers, &error);
        // Most responses have none of them, and fewer fields than there are names to look up.
        let is_replaced =
            |name: &&HeaderName| is_of_the_body(name, &error) || grpc::OF_THE_STATUS.contains(name);
        let replaced: Vec<HeaderName> = headers.keys().filter(is_replaced).cloned().collect();
        for name in &replaced {
            headers.remove(name);
        }
        if let Some((wire, _)) = &self.grpc {
            *response.body_mut() = grpc::dress(*wire, response.headers_mut(), &error, self);
            *response.status_mut() = StatusCode::OK;
        } else {
            let id = self.request_id().map(RequestId::as_str);
            *response.body_mut() = bodies::render(format, &error, types, id);
            let media_type = HeaderValue::from_static(format.media_type());
            set_header(response.headers_mut(), header::CONTENT_TYPE, media_type);
            *response.status_mut() = error.status();
            self.without_forbidden_body(&mut response);
        }
        error.set_rendered(rendered);
        response.extensions_mut().insert(error);
        response
    }

    /// Removes the body of responses to HEAD, but keeps its length. Statuses without a body (RFC 9110, section 6.4.1) lose its
    /// headers too.
    pub(super) fn without_forbidden_body(&self, response: &mut Response<Bytes>) {
        let status = response.status();
        let never = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
        if never.contains(&status) || status.is_informational() {
            *response.body_mut() = Bytes::new();
            response.headers_mut().remove(header::CONTENT_TYPE);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        } else if self.is_head {
            let length = std::mem::take(response.body_mut()).len();
            let length = HeaderValue::from(length);
            set_header(response.headers_mut(), header::CONTENT_LENGTH, length);
        }
    }
}
