//! What it costs to know what happened, beside tower-http: `cargo bench --bench observe`.
//!
//! Each body is read to its end, which is when an access log is written.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use palisade::{
    Decision, Policy, PolicyLayer,
    observe::{Explain, Observe, Recorder, RequestIds, RequestSpan},
};
use palisade_benches::{Counting, Subject, asking, compare, doing};
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_http::{
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::{DefaultOnRequest, DefaultOnResponse, TraceLayer},
};
use tracing::Level;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

async fn service<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

fn get() -> Request<Full<Bytes>> {
    Request::get("/items/7?page=2").header("accept", "*/*").body(Full::default()).unwrap()
}

fn named() -> Request<Full<Bytes>> {
    let mut request = get();
    request.headers_mut().insert(X_REQUEST_ID, "req-42".parse().unwrap());
    request
}

fn has_id<B>(response: &Response<B>) -> bool {
    response.headers().contains_key(X_REQUEST_ID)
}

#[derive(Clone)]
struct Passes;

impl Policy for Passes {
    type Grant = ();

    fn decide(&self, _: &http::request::Parts) -> Decision<()> {
        Decision::grant(())
    }
}

/// Asks a service and reads its response to the end.
fn reading<'a, S, B>(name: &'a str, mut service: S) -> Subject<'a>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + 'a,
    S::Error: std::fmt::Debug,
    B: http_body::Body + 'a,
{
    doing(name, move || {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
        let mut future = std::pin::pin!(service.call(get()));
        let Poll::Ready(answered) = future.as_mut().poll(&mut cx) else { panic!("it waits") };
        let mut body = std::pin::pin!(answered.expect("an answer").into_body());
        while let Poll::Ready(Some(_)) = Pin::new(&mut body).as_mut().poll_frame(&mut cx) {}
    })
}

fn main() {
    let bare = service_fn(service::<Full<Bytes>>);
    let pair = || {
        ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(X_REQUEST_ID, MakeRequestUuid))
            .layer(PropagateRequestIdLayer::new(X_REQUEST_ID))
            .service(bare)
    };
    compare(
        "Request ids",
        &mut [
            asking("bare service", bare, get, |_| true),
            asking("RequestIds", RequestIds::new().layer().layer(bare), get, has_id),
            asking("tower-http's pair", pair(), get, has_id),
            asking(
                "RequestIds, one came along",
                RequestIds::new().layer().layer(bare),
                named,
                has_id,
            ),
            asking("tower-http's pair, one came along", pair(), named, has_id),
        ],
    );
    access_log("Access log, nobody listens");
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::sink).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || {
        access_log("Access log, formatted into a sink");
    });
}

fn access_log(title: &str) {
    let bare = service_fn(service::<Full<Bytes>>);
    let ids = RequestIds::new().layer().layer(bare);
    let observe = Observe::new();
    let eight = Passes
        .then(Passes)
        .then(Passes)
        .then(Passes)
        .then(Passes)
        .then(Passes)
        .then(Passes)
        .then(Passes);
    let spans = ServiceBuilder::new().layer(observe.layer()).layer(RequestSpan).service(bare);
    let explain = Observe::new().explain(Explain::insecure_to_everybody());
    let recorder = Recorder::new();
    // at the same level, with a span and two events
    let trace = || {
        TraceLayer::new_for_http()
            .make_span_with(tower_http::trace::DefaultMakeSpan::new().level(Level::INFO))
            .on_request(DefaultOnRequest::new().level(Level::INFO))
            .on_response(DefaultOnResponse::new().level(Level::INFO))
    };
    let pair_and_trace = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(X_REQUEST_ID, MakeRequestUuid))
        .layer(trace())
        .layer(PropagateRequestIdLayer::new(X_REQUEST_ID))
        .service(bare);
    compare(
        title,
        &mut [
            reading("bare service", bare),
            reading("RequestIds", ids),
            reading("Observe", observe.layer().layer(bare)),
            reading("eight policies, not observed", PolicyLayer::new(eight.clone()).layer(bare)),
            reading(
                "Observe and eight policies",
                PolicyLayer::new(observe.clone().then(eight.clone())).layer(bare),
            ),
            reading("Observe and RequestSpan", spans),
            reading(
                "Observe with Explain, eight policies",
                PolicyLayer::new(explain.then(eight.clone())).layer(bare),
            ),
            reading(
                "Observe with Recorder",
                Observe::new().recorder(&recorder).layer().layer(bare),
            ),
            reading("tower-http TraceLayer", trace().layer(bare)),
            reading("tower-http ids and TraceLayer", pair_and_trace),
        ],
    );
}
