use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use palisade_core::BoxError;
use tower_layer::Layer;
use tower_service::Service;

/// Hands each request on with its body in another type.
///
/// Limits wrap the body that they count, so that a service inside of them gets a [`LimitedBody`](crate::LimitedBody) of
/// a [`TimedBody`](crate::TimedBody), say. A service that is generic over its body takes any; this is for one that asks
/// for a body of its own, such as axum's `from_fn`, and goes between the two:
///
/// ```
/// use axum::{body::Body, extract::Request, middleware::{Next, from_fn}, response::Response, Router, routing::post};
/// use palisade_body::{BodyLimit, MapRequestBody};
/// use tower::ServiceBuilder;
///
/// async fn logs(request: Request, next: Next) -> Response { next.run(request).await }
///
/// let app: Router = Router::new().route("/", post(|body: String| async { body })).layer(
///     ServiceBuilder::new()
///         .layer(BodyLimit::new(1024 * 1024))
///         .layer(MapRequestBody::new(Body::new))
///         .layer(from_fn(logs)),
/// );
/// ```
#[derive(Clone, Copy)]
pub struct MapRequestBody<F> {
    map: F,
}

impl<F> fmt::Debug for MapRequestBody<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapRequestBody").finish_non_exhaustive()
    }
}

impl<F> MapRequestBody<F> {
    /// Converts request bodies with `map`, such as `axum::body::Body::new` or `tonic::body::Body::new`.
    pub fn new(map: F) -> Self {
        Self { map }
    }
}

/// A boxed body, for services with a fixed type of request bodies. hyper's `Incoming` cannot be used for that, because only
/// hyper can create one.
///
/// It takes one allocation for each request.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use hyper::body::Incoming;
/// use palisade_body::{BodyLimit, BoxedBody, Deadline, MapRequestBody};
/// use palisade_core::BoxError;
/// use tower::{Service, ServiceBuilder, service_fn};
///
/// // before it had limits: async fn echo(request: Request<Incoming>)
/// async fn echo(request: Request<BoxedBody>) -> Result<Response<Full<Bytes>>, BoxError> {
///     Ok(Response::new(Full::new(request.into_body().collect().await?.to_bytes())))
/// }
///
/// fn guarded() -> impl Service<Request<Incoming>> {
///     ServiceBuilder::new()
///         .layer(Deadline::new(std::time::Duration::from_secs(10)))
///         .layer(BodyLimit::new(1024 * 1024))
///         .layer(MapRequestBody::new(BoxedBody::new))
///         .service(service_fn(echo))
/// }
/// ```
// A type instead of an alias, because rustc cannot prove that a future is `Send` if its service's parameters contain a `dyn
// Error`.
#[derive(Debug)]
pub struct BoxedBody(UnsyncBoxBody<Bytes, BoxError>);

impl BoxedBody {
    /// Boxes a body.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::{BodyExt, Full};
    /// use palisade_body::BoxedBody;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let body = BoxedBody::new(Full::<Bytes>::from("hello"));
    /// assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    /// # });
    /// ```
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl http_body::Body for BoxedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl<S, F: Clone> Layer<S> for MapRequestBody<F> {
    type Service = MapRequestBodyService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        MapRequestBodyService { inner, map: self.map.clone() }
    }
}

/// A service that takes requests with another body. Made by [`MapRequestBody`].
#[derive(Clone, Copy)]
pub struct MapRequestBodyService<S, F> {
    inner: S,
    map: F,
}

impl<S: fmt::Debug, F> fmt::Debug for MapRequestBodyService<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapRequestBodyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, F, B, T> Service<Request<B>> for MapRequestBodyService<S, F>
where
    S: Service<Request<T>>,
    F: Fn(B) -> T,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> S::Future {
        self.inner.call(request.map(&self.map))
    }
}
