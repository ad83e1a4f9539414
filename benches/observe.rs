//! Request ids and the access log, beside tower-http. Each body is read to its end, which is when an access log is written.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use palisade::{
    Decision, Policy, PolicyLayer,
    observe::{Explain, Observe, RequestIds, RequestSpan},
    recorder::Recorder,
};
use palisade_bench::{Comparison, Subject};
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_http::{
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::{DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, TraceLayer},
};
use tracing::{Dispatch, Level, dispatcher};

use crate::{BARE, hello};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn get() -> Request<Full<Bytes>> {
    Request::get("/items/7?page=2").header("accept", "*/*").body(Full::default()).unwrap()
}

fn named() -> Request<Full<Bytes>> {
    let mut request = get();
    request.headers_mut().insert(X_REQUEST_ID, "req-42".parse().unwrap());
    request
}

#[derive(Clone)]
struct Allows;

impl Policy for Allows {
    type Grant = ();

    fn decide(&self, _: &http::request::Parts) -> Decision<()> {
        Decision::grant(())
    }
}

/// Sends a request and reads the response to its end, with a subscriber.
fn logged<S, B>(name: &str, log: &Dispatch, mut service: S) -> Subject
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: std::fmt::Debug,
    B: http_body::Body,
{
    let log = log.clone();
    Subject::work(name, move || {
        dispatcher::with_default(&log, || {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
            let mut future = pin!(service.call(get()));
            let Poll::Ready(answered) = future.as_mut().poll(&mut cx) else { panic!("it waits") };
            let mut body = pin!(answered.expect("an answer").into_body());
            while let Poll::Ready(Some(_)) = Pin::new(&mut body).as_mut().poll_frame(&mut cx) {}
        });
    })
}

/// Request ids, and access logs without and with a subscriber.
pub fn compare() -> Comparison {
    let bare = service_fn(hello);
    let pair = || {
        ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(X_REQUEST_ID, MakeRequestUuid))
            .layer(PropagateRequestIdLayer::new(X_REQUEST_ID))
            .service(bare)
    };
    let ids = || RequestIds::new().layer().layer(bare);
    let observe = Observe::new();
    let eight = Allows
        .then(Allows)
        .then(Allows)
        .then(Allows)
        .then(Allows)
        .then(Allows)
        .then(Allows)
        .then(Allows);
    let spans = ServiceBuilder::new().layer(observe.layer()).layer(RequestSpan).service(bare);
    let explain = PolicyLayer::new(
        Observe::new().explain(Explain::insecure_to_everybody()).then(eight.clone()),
    );
    let observed = PolicyLayer::new(observe.clone().then(eight)).layer(bare);
    let recorded = Observe::new().report_to(Recorder::new().reporter()).layer().layer(bare);
    // at the same level, with a span and two events
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_request(DefaultOnRequest::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    let traced = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(X_REQUEST_ID, MakeRequestUuid))
        .layer(trace)
        .layer(PropagateRequestIdLayer::new(X_REQUEST_ID))
        .service(bare);
    let log = tracing_subscriber::fmt().with_writer(std::io::sink).with_ansi(false).finish();
    let log = Dispatch::new(log);
    Comparison::new("observe")
        .set(
            "a new request id",
            [
                Subject::service(BARE, bare, get),
                Subject::service("Palisade", ids(), get),
                Subject::service("tower-http, two layers", pair(), get),
            ],
        )
        .set(
            "a request id of the client",
            [
                Subject::service(BARE, bare, named),
                Subject::service("Palisade", ids(), named),
                Subject::service("tower-http, two layers", pair(), named),
            ],
        )
        .set(
            "ids and an access log, without a subscriber",
            [
                Subject::service(BARE, bare, get),
                Subject::service("Palisade", observe.layer().layer(bare), get),
                Subject::service("tower-http, three layers", traced.clone(), get),
                Subject::service("Palisade, and eight policies", observed.clone(), get),
                Subject::service(
                    "Palisade, explained, and eight policies",
                    explain.layer(bare),
                    get,
                ),
                Subject::service("Palisade, recorded", recorded, get),
            ],
        )
        .set(
            "ids and an access log, formatted",
            [
                logged(BARE, &log, bare),
                logged("Palisade", &log, observe.layer().layer(bare)),
                logged("tower-http, three layers", &log, traced),
                logged("Palisade, with a span", &log, spans),
                logged("Palisade, and eight policies", &log, observed),
            ],
        )
}
