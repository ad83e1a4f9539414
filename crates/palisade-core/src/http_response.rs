use http::{Request, Response, StatusCode};
use tower_service::Service;

use crate::{BoxError, BytesBody};

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

/// An [`HttpResponse`] whose body is a [`BytesBody`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an `http::Response` whose body a layer can replace",
    label = "an `ErrorLayer` around this service requires responses of the type `http::Response<_>`, with a body of `Bytes` whose error is `Into<BoxError>`"
)]
pub trait BytesResponse: HttpResponse<Body: BytesBody> {}

#[diagnostic::do_not_recommend]
impl<R: HttpResponse<Body: BytesBody>> BytesResponse for R {}

/// A service whose error converts to a [`BoxError`]: the bound of a layer that turns errors into responses.
///
/// Implemented for every such service. Beside it such a layer has one bound on the response, [`BytesResponse`]. One bound that
/// leads to both the error and the response would make the compile time of alternating layers double with each pair: an
/// [`ErrorLayer`](crate::ErrorLayer) around a policy around an `ErrorLayer`, and so on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not respond to requests whose body is a `{B}`, or its error is no `BoxError`",
    label = "an `ErrorLayer` around this service requires `Service<Request<{B}>>` with an error that is `Into<BoxError>`"
)]
pub trait ReturnsBoxError<B>: Service<Request<B>, Error: Into<BoxError>> {}

#[diagnostic::do_not_recommend]
impl<S, B> ReturnsBoxError<B> for S where S: Service<Request<B>, Error: Into<BoxError>> {}

/// A service whose future can be boxed: the bound of a layer that awaits the response in an `async` block.
///
/// Implemented for every such service. It is apart from the bound on the response for the reason that [`ReturnsBoxError`] is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not respond to requests whose body is a `{B}`, or its future is not `Send`",
    label = "a layer around this service boxes its future, which must be `Send + 'static`"
)]
pub trait ReturnsSend<B>: Service<Request<B>, Future: Send + 'static> {}

#[diagnostic::do_not_recommend]
impl<S, B> ReturnsSend<B> for S where S: Service<Request<B>, Future: Send + 'static> {}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl<B> Sealed for http::Response<B> {}
}
