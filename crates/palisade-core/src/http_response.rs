use std::{
    future::Future,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tower_service::Service;

use crate::BoxError;

/// The response of an inner service: an [`http::Response`].
///
/// A layer that wraps the body of a response requires this of the inner service's response and names its body by
/// [`HttpResponse::Body`]. The usual bound, `S: Service<R, Response = Response<B>>` with a type parameter `B`, makes the
/// compile time of nested layers double with each layer if the layer itself responds with `Response<Body<B>>`. With an
/// associated type it stays linear. No type outside of Palisade implements the trait.
///
/// ```
/// use http::Response;
/// use palisade_core::HttpResponse;
///
/// fn status_of<R: HttpResponse>(response: R) -> http::StatusCode {
///     response.into_response().status()
/// }
/// assert_eq!(status_of(Response::new("hello")), 200);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an `http::Response`",
    label = "a layer around this service requires responses of the type `http::Response<_>`"
)]
pub trait HttpResponse: sealed::Sealed {
    /// The body of the response. In a stack it is the body of the service inside all layers, because these share one
    /// [`Body`](crate::Body).
    type Body;

    /// Returns the response with the body that all layers have.
    fn into_response(self) -> Response<crate::Body<Self::Body>>;

    /// Returns the status of the response.
    fn status(&self) -> StatusCode;
}

#[diagnostic::do_not_recommend]
impl<B> HttpResponse for Response<B> {
    type Body = B;

    #[inline]
    fn into_response(self) -> Response<crate::Body<B>> {
        self.map(crate::Body::new)
    }

    #[inline]
    fn status(&self) -> StatusCode {
        self.status()
    }
}

/// A service that returns an [`http::Response`] or an error that converts to a [`BoxError`]: the bound of a layer that turns
/// errors into responses.
///
/// Implemented for every such service. It repeats `Service` because bounds on both the response and the error of a service
/// would make the compile time of nested layers double with each layer; see [`HttpResponse`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not respond to requests whose body is a `{B}` with an `http::Response` or a `BoxError`",
    label = "an `ErrorLayer` around this service requires `Service<Request<{B}>, Response = http::Response<_>>` with an error that is `Into<BoxError>`"
)]
pub trait HttpService<B> {
    /// The body of its responses.
    type ResponseBody: http_body::Body<Data = Bytes, Error: Into<BoxError>>;
    /// The response of `Service`.
    type Response: HttpResponse<Body = Self::ResponseBody>;
    /// The error of `Service`.
    type Error: Into<BoxError>;
    /// The future of `Service`.
    type Future: Future<Output = Result<Self::Response, Self::Error>>;

    /// Polls readiness like `Service`.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Calls the service like `Service`.
    fn call(&mut self, request: Request<B>) -> Self::Future;
}

#[diagnostic::do_not_recommend]
impl<S, B> HttpService<B> for S
where
    S: Service<Request<B>>,
    S::Response: HttpResponse<Body: http_body::Body<Data = Bytes, Error: Into<BoxError>>>,
    S::Error: Into<BoxError>,
{
    type ResponseBody = <S::Response as HttpResponse>::Body;
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Service::poll_ready(self, cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> S::Future {
        Service::call(self, request)
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl<B> Sealed for http::Response<B> {}
}
