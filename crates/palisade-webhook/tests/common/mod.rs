//! One endpoint, a clock that stands still, and a handler that sends back what it got.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use palisade_core::{Body, ManualClock};
use palisade_webhook::{Verified, Webhook, WebhookBuilder};
use tower::{Layer, ServiceExt, service_fn};

/// The time of the vector of Standard Webhooks.
pub(crate) const NOW: u64 = 1_614_265_330;

pub(crate) fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn build_at(builder: WebhookBuilder, now: u64) -> Webhook {
    builder.clock(Arc::new(ManualClock::at(at(now)))).build().unwrap()
}

pub(crate) fn build(builder: WebhookBuilder) -> Webhook {
    build_at(builder, NOW)
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What the handler found, if it was called.
    pub(crate) verified: Option<Verified>,
    pub(crate) calls: usize,
}

impl Answer {
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Asserts that the handler got the body unchanged, with `Verified`.
    pub(crate) fn assert_passed(&self, body: &[u8]) -> &Verified {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.body, body);
        assert_eq!(self.calls, 1);
        self.verified.as_ref().expect("the handler finds Verified")
    }

    pub(crate) fn assert_refused(&self, status: StatusCode) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.calls, 0, "a refused request reached the handler");
    }
}

/// Sends a request to a handler that answers 200 with the body it got.
pub(crate) async fn send(layer: &Webhook, request: Request<Bytes>) -> Answer {
    send_answering(layer, request, StatusCode::OK).await
}

pub(crate) async fn send_answering(
    layer: &Webhook,
    request: Request<Bytes>,
    with: StatusCode,
) -> Answer {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let service = layer.layer(service_fn(move |request: Request<Body<Full<Bytes>>>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let verified = Verified::from_extensions(request.extensions()).cloned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = with;
            if let Some(verified) = verified {
                response.extensions_mut().insert(verified);
            }
            Ok::<_, Infallible>(response)
        }
    }));
    let response = service.oneshot(request.map(Full::new)).await.unwrap();
    let (head, body) = response.into_parts();
    Answer {
        status: head.status,
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
        verified: head.extensions.get().cloned(),
        calls: calls.load(Ordering::SeqCst),
    }
}

/// POST with these headers.
pub(crate) fn post(uri: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Bytes> {
    let request = headers
        .iter()
        .fold(Request::post(uri), |request, (name, value)| request.header(*name, *value));
    request.body(body.into()).unwrap()
}

/// POST with headers that a signer made.
pub(crate) fn signed(uri: &str, headers: HeaderMap, body: impl Into<Bytes>) -> Request<Bytes> {
    let mut request = post(uri, &[], body);
    request.headers_mut().extend(headers);
    request
}
