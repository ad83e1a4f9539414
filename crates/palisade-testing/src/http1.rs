//! A connection in memory, for services that read hyper's own request body.

use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use palisade_core::{BoxError, BoxFuture};
use tower_service::Service;

use crate::service::{Answer, AnyService, call};

/// The bytes that the connection holds before the other side has read them.
const BUFFER: usize = 64 * 1024;

/// A service at the other end of a connection in memory.
pub(crate) struct OverHttp1<S>(pub(crate) Mutex<S>);

impl<S, B> AnyService for OverHttp1<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn send(&self, request: Request<Full<Bytes>>) -> BoxFuture<Answer> {
        let service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(exchange(service, request))
    }
}

/// Sends a request over HTTP/1.1 through memory. Nothing is spawned, so that the log of the service is that of this future.
///
/// Extensions do not travel over HTTP: those of the request and of the response are carried beside the connection.
async fn exchange<S, B>(service: S, request: Request<Full<Bytes>>) -> Answer
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let (client_io, server_io) = tokio::io::duplex(BUFFER);
    let of_request = request.extensions().clone();
    let outcome = Arc::new(Mutex::new((Extensions::new(), None)));
    let serve = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().extend(of_request.clone());
        let (service, outcome) = (service.clone(), Arc::clone(&outcome));
        async move {
            let response = call(service, request).await;
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            match response {
                Ok(response) => {
                    outcome.0 = response.extensions().clone();
                    Ok(response)
                }
                Err(error) => {
                    outcome.1 = Some(error);
                    Err("the service failed")
                }
            }
        }
    });
    let connection =
        server::conn::http1::Builder::new().serve_connection(TokioIo::new(server_io), serve);
    let (mut sender, driver) = client::conn::http1::handshake(TokioIo::new(client_io)).await?;
    let receive = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok::<_, BoxError>(Response::from_parts(head, body.collect().await?))
    };
    let answer = tokio::select! {
        answer = receive => answer,
        never = endless(connection) => match never {},
        never = endless(driver) => match never {},
    };
    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = outcome.1.take() {
        return Err(error);
    }
    let mut response = answer?;
    response.extensions_mut().extend(std::mem::take(&mut outcome.0));
    Ok(response)
}

/// Drives one side of the connection. Its end is that of the response.
async fn endless<F: Future>(side: F) -> Infallible {
    let _ = side.await;
    pending().await
}
