//! A counting handler behind the layer, and requests of callers.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use palisade_core::{Body, Principal};
use palisade_idempotency::{Idempotency, IdempotencyBuilder, InMemoryClaims};
use tower::{Layer, Service, ServiceExt};

pub(crate) type In = Body<Full<Bytes>>;

pub(crate) fn builder() -> IdempotencyBuilder {
    Idempotency::new(InMemoryClaims::new(1_000).unwrap())
}

/// What a client received.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn is_replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }

    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// Counts the calls of a handler.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<AtomicUsize>);

impl Calls {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// Returns a request of ada with this key and body.
pub(crate) fn post(key: &str, body: &'static str) -> Request<Full<Bytes>> {
    request_of("ada", Request::post("/payments").header("idempotency-key", key), body)
}

/// Returns a request of this caller.
pub(crate) fn request_of(
    caller: &str,
    request: http::request::Builder,
    body: &'static str,
) -> Request<Full<Bytes>> {
    let mut request = request.body(Full::from(body)).unwrap();
    request.extensions_mut().insert(Principal::new(caller));
    request
}

/// Returns a handler that answers 201 with the number of the call.
pub(crate) fn counting(
    calls: &Calls,
) -> impl Service<
    Request<In>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ use<> {
    let calls = calls.clone();
    tower::service_fn(move |_: Request<In>| {
        let call = calls.add();
        async move {
            let response = Response::builder().status(201).header("x-call", call);
            Ok(response.body(Full::from(format!("call {call}"))).unwrap())
        }
    })
}

/// Sends a request through the layer to the handler, and reads the response.
pub(crate) async fn send<S, B>(
    layer: &Idempotency,
    handler: &S,
    request: Request<Full<Bytes>>,
) -> Answer
where
    S: Service<Request<In>, Response = Response<B>, Error = Infallible> + Clone,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<palisade_core::BoxError>> + Send + 'static,
{
    let response = layer.layer(handler.clone()).oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}
