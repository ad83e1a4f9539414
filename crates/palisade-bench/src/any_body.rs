use std::{
    error::Error as StdError,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use http_body::Body;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower_service::Service;

/// Any error of a service or of a body.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The request body of a service inside [`AnyBody`].
pub type AnyRequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A service that accepts requests with any body, around a service that names the type of its body.
///
/// A layer such as a body limit hands the request on with another type of body. A [`Ladder`](crate::Ladder) measures the stack
/// with and without this layer, so the service inside has to accept both. axum's `Router` does; a function in
/// `tower::service_fn` has one type. The body is boxed, which costs each row of the ladder one allocation, and no difference.
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use bytes::Bytes;
/// use palisade_bench::{AnyBody, Instructions, Ladder};
/// use tower::service_fn;
/// use tower_http::limit::RequestBodyLimitLayer;
///
/// let service = service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
/// let report = Ladder::new(AnyBody::new(service), [Request::new(Full::<Bytes>::default())])
///     .step("body limit", RequestBodyLimitLayer::new(1024)) // the service receives `Limited<Full<Bytes>>`
///     .instructions(Instructions::Off)
///     .rounds(0)
///     .run()?;
/// assert_eq!(report.requests[0].steps[1].name, "body limit");
/// # Ok::<_, palisade_bench::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AnyBody<S>(S);

impl<S: Service<Request<AnyRequestBody>>> AnyBody<S> {
    /// Wraps a service that takes the boxed body.
    pub fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S, B> Service<Request<B>> for AnyBody<S>
where
    S: Service<Request<AnyRequestBody>>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.0.call(request.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}
