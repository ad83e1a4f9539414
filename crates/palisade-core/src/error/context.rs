use http::{Extensions, HeaderMap, Method, Request, Uri, request, response};

use super::Wire;
use crate::RequestId;

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
    /// The protocol and the path of a gRPC request: `/package.Service/Method`. Boxed, because layers move the contexts of all
    /// requests.
    pub(super) grpc: Option<Box<(Wire, Uri)>>,
    pub(super) is_head: bool,
    /// False without a request.
    pub(super) known: bool,
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
            grpc: Wire::from_headers(headers).map(|wire| Box::new((wire, uri.clone()))),
            is_head: method == Method::HEAD,
            known: true,
            request_id: extensions.get().cloned(),
        }
    }

    /// Creates a context from a response, for an error that replaces it without the request. An
    /// [`ErrorLayer`](crate::ErrorLayer) renders the error again with the request.
    pub(crate) fn of_response(response: &response::Parts) -> Self {
        Self {
            grpc: Wire::from_headers(&response.headers)
                .map(|wire| Box::new((wire, Uri::default()))),
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

    pub(crate) fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }

    pub(crate) fn set_request_id(&mut self, id: RequestId) {
        self.request_id = Some(id);
    }

    /// Returns true if the request is gRPC or gRPC-web.
    #[doc(hidden)]
    pub fn is_grpc(&self) -> bool {
        self.grpc.is_some()
    }

    /// The service that a gRPC request is for.
    pub(super) fn grpc_service(&self) -> Option<&str> {
        let (_, uri) = self.grpc.as_deref()?;
        uri.path().strip_prefix('/')?.split_once('/').map(|(service, _)| service)
    }
}
