use std::{
    future::Future,
    task::{Context, Poll},
};

use http::Request;
use tower_service::Service;

use crate::HttpResponse;

/// A service that accepts requests with a body `B`: the bound of a layer that changes the type of request bodies.
///
/// Implemented for every such service. It repeats `Service`, so that the compiler reports this requirement with its remedy
/// instead of a list of types that implement `Service`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not accept requests whose body is a `{B}`",
    label = "a layer around this service hands the request body on as `{B}`",
    note = "a service that names the type of its request body, such as axum's `from_fn`, goes inside `.layer(MapRequestBody::new(axum::body::Body::new))`",
    note = "a hyper service that takes `Incoming` takes `BoxedBody` instead, inside `.layer(MapRequestBody::new(BoxedBody::new))`"
)]
pub trait AcceptsBody<B> {
    /// The response, an `http::Response`.
    type Response: HttpResponse<Body = Self::ResponseBody>;
    /// The body of its responses.
    type ResponseBody;
    /// The error of `Service`.
    type Error;
    /// The future of `Service`.
    type Future: Future<Output = Result<Self::Response, Self::Error>>;

    /// Polls readiness like `Service`.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Calls the service like `Service`.
    fn call(&mut self, request: Request<B>) -> Self::Future;
}

#[diagnostic::do_not_recommend]
impl<S, B> AcceptsBody<B> for S
where
    S: Service<Request<B>>,
    S::Response: HttpResponse,
{
    type Response = S::Response;
    type ResponseBody = <S::Response as HttpResponse>::Body;
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
