use http::Request;
use tower_service::Service;

use crate::HttpResponse;

/// A service that accepts requests with a body `B`: the bound of a layer that changes the type of request bodies.
///
/// Implemented for every such service. It is a name of its own, so that the compiler reports this requirement with its remedy
/// instead of a list of types that implement `Service`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not accept requests whose body is a `{B}`",
    label = "a layer around this service hands the request body on as `{B}`",
    note = "a service that names the type of its request body, such as axum's `from_fn`, goes inside `.layer(MapRequestBody::new(axum::body::Body::new))`",
    note = "a hyper service that takes `Incoming` takes `BoxedBody` instead, inside `.layer(MapRequestBody::new(BoxedBody::new))`"
)]
pub trait AcceptsBody<B>: Service<Request<B>, Response: HttpResponse> {}

#[diagnostic::do_not_recommend]
impl<S, B> AcceptsBody<B> for S where S: Service<Request<B>, Response: HttpResponse> {}
