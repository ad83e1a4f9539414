use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use palisade_body::BoxedBody;
use palisade_core::{BoxError, BoxFuture, HttpResponse};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_layer::Layer;
use tower_service::Service;

use super::Stack;

/// A [`Stack`] whose services have a type that can be written: [`BoxedService`]. Made by [`Stack::boxed`].
pub struct BoxedStack<L, ReqB> {
    stack: L,
    request: PhantomData<fn(ReqB)>,
}

/// A service behind a [`Stack`], as a type that can be written: for fields of structs and for functions that return it.
///
/// `ReqB` is the body of the requests that it takes, `E` the error of the inner service. Its responses have the body
/// [`BoxedBody`]. Each request costs two allocations more than with [`Stack::wrap`]: one for the future, one for the body.
pub struct BoxedService<ReqB, E = Infallible> {
    service: BoxCloneSyncService<Request<ReqB>, Response<BoxedBody>, E>,
}

impl<At, Outer, Open, Errors> Stack<At, Outer, Open, Errors> {
    /// Returns this stack as a layer whose services have the type [`BoxedService`], for any contents of the stack.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use palisade::{BoxedService, ConfigError, ErrorLayer, cors::Cors, stack};
    /// use tower::{ServiceExt, service_fn};
    ///
    /// struct Gateway {
    ///     service: BoxedService<Full<Bytes>>,
    /// }
    ///
    /// async fn hello(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    ///     Ok(Response::new(Full::from("hello")))
    /// }
    ///
    /// fn gateway() -> Result<Gateway, ConfigError> {
    ///     let cors = Cors::allow_origins(["https://app.example.com"]).build()?;
    ///     let service = stack().errors(ErrorLayer::new()).cors(&cors).boxed().wrap(service_fn(hello));
    ///     Ok(Gateway { service })
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// let response = runtime.block_on(gateway()?.service.oneshot(Request::new(Full::default())));
    /// assert_eq!(response.unwrap().status(), 200);
    /// # Ok::<_, ConfigError>(())
    /// ```
    pub fn boxed<ReqB>(self) -> BoxedStack<Self, ReqB> {
        BoxedStack { stack: self, request: PhantomData }
    }
}

impl<L, ReqB> BoxedStack<L, ReqB> {
    /// Puts the stack around a service.
    pub fn wrap<S>(&self, service: S) -> <Self as Layer<S>>::Service
    where
        Self: Layer<S>,
    {
        Layer::layer(self, service)
    }
}

impl<S, L, ReqB> Layer<S> for BoxedStack<L, ReqB>
where
    L: Layer<S>,
    L::Service: Service<Request<ReqB>> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request<ReqB>>>::Response:
        HttpResponse<Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
    <L::Service as Service<Request<ReqB>>>::Future: Send + 'static,
    ReqB: 'static,
{
    type Service = BoxedService<ReqB, <L::Service as Service<Request<ReqB>>>::Error>;

    fn layer(&self, inner: S) -> Self::Service {
        let service = self.stack.layer(inner);
        let service = service.map_response(|response| response.into_response().map(BoxedBody::new));
        BoxedService { service: BoxCloneSyncService::new(service) }
    }
}

impl<ReqB, E> Service<Request<ReqB>> for BoxedService<ReqB, E> {
    type Response = Response<BoxedBody>;
    type Error = E;
    type Future = BoxFuture<Result<Response<BoxedBody>, E>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        self.service.call(request)
    }
}

impl<L: Clone, ReqB> Clone for BoxedStack<L, ReqB> {
    fn clone(&self) -> Self {
        Self { stack: self.stack.clone(), request: PhantomData }
    }
}

impl<ReqB, E> Clone for BoxedService<ReqB, E> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone() }
    }
}

impl<L: fmt::Debug, ReqB> fmt::Debug for BoxedStack<L, ReqB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxedStack").field("stack", &self.stack).finish_non_exhaustive()
    }
}

impl<ReqB, E> fmt::Debug for BoxedService<ReqB, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxedService").finish_non_exhaustive()
    }
}
