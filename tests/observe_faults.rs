//! Each failure on a real connection has one event in the access log, with what the client received.

#[path = "../crates/palisade-observe/tests/captured/mod.rs"]
mod captured;
mod refusing_greeter;

use std::{
    future::pending,
    net::SocketAddr,
    pin::Pin,
    sync::{Mutex, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use captured::{Captured, Fields};
use http::{Request, Response, request};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::TokioExecutor, rt::TokioIo, server::conn::auto, service::TowerToHyperService,
};
use palisade::{
    BoxError, Decision, ErrorLayer, PeerAddr, Policy, PolicyLayer, RequestId, observe::Observe,
    stack,
};
use palisade_tests::Client;
use refusing_greeter::{
    AsAsked, greeter,
    greeter::{CountRequest, HelloRequest, ResetRequest, greeter_client::GreeterClient},
};
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server};
use tower::{Layer, Service, service_fn};

/// The access log of all tests here, each of whose requests has a name of its own.
fn log() -> &'static Captured {
    static LOG: OnceLock<Captured> = OnceLock::new();
    LOG.get_or_init(|| {
        let captured = Captured::default();
        tracing::subscriber::set_global_default(captured.clone()).expect("nobody else has a log");
        captured
    })
}

/// The one event of a request. It is written when the server knows that the response is over, which may be after the
/// client does.
async fn event_of(id: &str) -> Fields {
    for _ in 0..500 {
        let mut events = log().so_far();
        events.retain(|event| event["request_id"] == id);
        if let Some(event) = events.pop() {
            assert!(events.is_empty(), "more than one: {events:?} {event:?}");
            return event;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{id} is not in the log: {:?}", log().so_far())
}

fn says(event: &Fields, end: &str, status: Option<&str>) {
    let told = event.get("status").map(String::as_str);
    assert_eq!((event["end"].as_str(), told), (end, status), "{event:?}");
}

/// At the end, nothing has been told twice.
fn each_is_there_once() {
    let events = log().so_far();
    let mut ids: Vec<_> = events.iter().map(|event| event["request_id"].clone()).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "{events:?}");
}

/// A body with one frame and a configured end.
struct Body(Option<&'static str>, fn() -> Poll<Option<BoxError>>);

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.0.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data.as_bytes()))))),
            None => (self.1)().map(|error| error.map(Err)),
        }
    }
}

/// Goes wrong in the way that the path says.
async fn faulty<B>(request: Request<B>) -> Result<Response<Body>, BoxError> {
    let then: fn() -> Poll<Option<BoxError>> = match request.uri().path() {
        "/panics" => panic!("a handler panicked, as it was told to"),
        "/fails" => return Err("the database is gone".into()),
        "/hangs" => pending().await,
        "/fails-later" => || Poll::Ready(Some("the disk is gone".into())),
        "/panics-later" => || panic!("a body panicked, as it was told to"),
        "/hangs-later" => || Poll::Pending,
        _ => || Poll::Ready(None),
    };
    Ok(Response::new(Body(Some("hello"), then)))
}

/// A policy of a user, with a mistake in it.
#[derive(Clone)]
struct Careless;

impl Policy for Careless {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        arrived().lock().unwrap().extend(request.extensions.get::<RequestId>().cloned());
        assert_ne!(request.uri.path(), "/policy-panics", "as it was told to");
        Decision::grant(())
    }
}

/// The requests that have come as far as the policy.
fn arrived() -> &'static Mutex<Vec<RequestId>> {
    static ARRIVED: Mutex<Vec<RequestId>> = Mutex::new(Vec::new());
    &ARRIVED
}

fn has_arrived(id: &str) -> bool {
    arrived().lock().unwrap().iter().any(|arrived| arrived.as_str() == id)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn on_hyper<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let service = PolicyLayer::new(PeerAddr(peer)).layer(service.clone());
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
                    .await;
            });
        }
    });
    address
}

/// Asks for `path` by each version of HTTP, as a client that leaves when it has seen this many frames of the body, if
/// that is said; answers with the events.
async fn events_of(address: SocketAddr, path: &str, leaves_after: Option<usize>) -> Vec<Fields> {
    let mut events = Vec::new();
    for (version, client) in Client::of_each_version(address).into_iter().enumerate() {
        let id = format!("{}-{version}-{}", path.trim_matches('/'), address.port());
        let request = Request::get(path).header("x-request-id", &id);
        let request = request.body(Full::<Bytes>::default()).unwrap();
        // In a task of its own: the connection may break off, and that is an error of the client.
        let asked = tokio::spawn(async move {
            let mut response = client.start(request).await;
            match leaves_after {
                Some(frames) => {
                    for _ in 0..frames {
                        response.body_mut().frame().await.unwrap().unwrap();
                    }
                }
                None => drop(response.collect().await),
            }
        });
        if leaves_after == Some(0) {
            // Before there is a response: when the request has arrived.
            while !has_arrived(&id) {
                tokio::task::yield_now().await;
            }
            asked.abort();
        }
        let _ = asked.await;
        events.push(event_of(&id).await);
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hyper_fault_is_logged_as_one_event() {
    log();
    let guarded = stack().observe(Observe::new()).errors(ErrorLayer::new()).policy(Careless);
    let address = on_hyper(guarded.wrap(service_fn(faulty))).await;
    for (path, leaves_after, end, status) in [
        ("/well", None, "complete", Some("200")),
        ("/panics", None, "complete", Some("500")),
        ("/fails", None, "complete", Some("500")),
        ("/policy-panics", None, "complete", Some("500")),
        ("/fails-later", None, "body_failed", Some("200")),
        ("/panics-later", None, "body_panicked", Some("200")),
        ("/hangs-later", Some(1), "aborted", Some("200")),
        ("/hangs", Some(0), "cancelled", None),
    ] {
        for event in events_of(address, path, leaves_after).await {
            says(&event, end, status);
            assert_eq!(event["client"], "127.0.0.1");
            let code = (status == Some("500")).then_some("INTERNAL");
            assert_eq!(event.get("code").map(String::as_str), code, "{path}");
            let said =
                if path == "/policy-panics" { "could_not_tell(PANICKED)" } else { "granted" };
            assert!(event["policies"].starts_with(&format!("Careless={said}")), "{event:?}");
            let sent = status.is_some() && code.is_none();
            assert_eq!(event["bytes_out"] == "5", sent, "{event:?}");
        }
    }
    each_is_there_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_without_a_response_is_logged_without_a_status() {
    log();
    let guarded = PolicyLayer::new(Observe::new().then(Careless)).layer(service_fn(faulty));
    let address = on_hyper(guarded).await;
    for (path, end) in [("/panics", "panicked"), ("/fails", "failed")] {
        for event in events_of(address, path, None).await {
            says(&event, end, None);
        }
    }
    each_is_there_once();
}

fn named<T>(id: &str, ask: Option<(&'static str, &str)>, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("x-request-id", id.parse().unwrap());
    if let Some((name, value)) = ask {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tonic_fault_is_logged_with_its_code() {
    log();
    let (listener, address) = listen().await;
    let guarded = stack().observe(Observe::new()).errors(ErrorLayer::new()).policy(AsAsked);
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = Server::builder().layer(guarded).add_service(greeter());
    tokio::spawn(server.serve_with_incoming(incoming));
    let endpoint = Endpoint::new(format!("http://{address}")).unwrap();
    let mut client = GreeterClient::new(endpoint.connect().await.unwrap());

    for (id, ask, grpc_status) in [
        ("unary-well", None, "0"),
        ("unary-fails", Some(("x-fail", "NOT_FOUND")), "5"),
        ("unary-refused", Some(("x-refuse", "RATE_LIMITED")), "8"),
    ] {
        let answer = client.hello(named(id, ask, HelloRequest::default())).await;
        assert_eq!(answer.is_ok(), grpc_status == "0");
        let event = event_of(id).await;
        says(&event, "complete", Some("200"));
        assert_eq!(event["grpc_status"], grpc_status);
    }
    assert!(client.reset(named("unary-panics", None, ResetRequest {})).await.is_err());
    let event = event_of("unary-panics").await;
    says(&event, "complete", Some("200"));
    assert_eq!((&*event["grpc_status"], &*event["code"]), ("13", "INTERNAL"));

    for (id, ask, end, grpc_status) in [
        ("stream-well", None, "complete", Some("0")),
        ("stream-fails", Some(("x-fail", "UNAVAILABLE")), "complete", Some("14")),
        ("stream-fails-later", Some(("x-fail-later", "CONFLICT")), "complete", Some("10")),
        ("stream-panics-later", Some(("x-then", "panic")), "body_panicked", None),
        ("stream-is-left", Some(("x-then", "hang")), "aborted", None),
    ] {
        if let Ok(answer) = client.count(named(id, ask, CountRequest { to: 2 })).await {
            let mut replies = answer.into_inner();
            // Who leaves does so when both messages are there.
            let mut wanted = if id == "stream-is-left" { 2 } else { usize::MAX };
            while wanted > 0 && matches!(replies.message().await, Ok(Some(_))) {
                wanted -= 1;
            }
        }
        let event = event_of(id).await;
        says(&event, end, Some("200"));
        assert_eq!(event.get("grpc_status").map(String::as_str), grpc_status, "{event:?}");
    }
    each_is_there_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_status_is_read_from_the_body() {
    log();
    let guarded = stack().observe(Observe::new()).errors(ErrorLayer::new()).policy(AsAsked);
    let address = on_hyper(guarded.wrap(service_fn(faulty))).await;
    for (version, client) in Client::of_each_version(address).into_iter().enumerate() {
        for media_type in ["application/grpc-web+proto", "application/grpc-web-text"] {
            let id = format!("web-{}-{version}", media_type.len());
            let request = Request::post("/greeter.v1.Greeter/Hello")
                .header("content-type", media_type)
                .header("x-refuse", "FORBIDDEN")
                .header("x-request-id", &id);
            client.send(request.body(Full::<Bytes>::default()).unwrap()).await;
            let event = event_of(&id).await;
            says(&event, "complete", Some("200"));
            assert_eq!((&*event["grpc_status"], &*event["code"]), ("7", "FORBIDDEN"));
        }
    }
    each_is_there_once();
}
