//! Services without their types.

use std::{
    future::poll_fn,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Collected, Full};
use palisade_core::{BoxError, BoxFuture};
use tower_service::Service;

/// A response whose body was read to its end.
pub(crate) type Answer = Result<Response<Collected<Bytes>>, BoxError>;

/// A service without its types.
pub(crate) trait AnyService: Send + Sync {
    fn send(&self, request: Request<Full<Bytes>>) -> BoxFuture<Answer>;
}

pub(crate) struct Erased<S>(pub(crate) Mutex<S>);

/// Waits until the service is ready, and calls it.
pub(crate) async fn call<S, R, B>(mut service: S, request: R) -> Result<Response<B>, BoxError>
where
    S: Service<R, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
    service.call(request).await.map_err(Into::into)
}

impl<S, B> AnyService for Erased<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn send(&self, request: Request<Full<Bytes>>) -> BoxFuture<Answer> {
        let service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let (head, body) = call(service, request).await?.into_parts();
            let body = body.collect().await.map_err(Into::into)?;
            Ok(Response::from_parts(head, body))
        })
    }
}
