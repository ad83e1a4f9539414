//! Services and layers of many kinds are measured, or the error names the step and the cause.

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use palisade_bench::{AnyBody, CountingAllocator, Error, InstructionSource, Instructions, Ladder};
use tower::{
    BoxError, Service, buffer::BufferLayer, layer::layer_fn, limit::ConcurrencyLimitLayer,
    service_fn, timeout::TimeoutLayer,
};
use tower_http::{limit::RequestBodyLimitLayer, set_header::SetRequestHeaderLayer};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

async fn hello(_: Request<String>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello".to_owned()))
}

fn get(path: &str) -> Request<String> {
    Request::get(path).body(String::new()).unwrap()
}

#[test]
fn failing_service_is_an_error_with_step_and_cause() {
    let fails = layer_fn(|_| {
        service_fn(|request: Request<String>| async move {
            if request.uri().path() == "/down" {
                return Err("the database is down");
            }
            Ok(hello(request).await.expect("an infallible service"))
        })
    });
    let ran = Ladder::new(service_fn(hello), [get("/up"), get("/down")])
        .step("database", fails)
        .instructions(Instructions::Off)
        .rounds(0)
        .run();
    let error = ran.unwrap_err().to_string();
    assert_eq!(
        error,
        "GET /down, with the steps up to \"database\": the service failed: \"the database is down\""
    );
}

#[test]
fn panicking_layer_is_an_error_with_step_and_message() {
    let panics = layer_fn(|_| {
        service_fn(|_: Request<String>| {
            panic!("no key is configured");
            #[allow(unreachable_code, reason = "the type of the response")]
            hello(get("/"))
        })
    });
    let ran = Ladder::new(service_fn(hello), [get("/")])
        .step("keys", panics)
        .instructions(Instructions::Off)
        .run();
    let Err(Error::ServiceFailed { step, request, why }) = ran else { panic!("{ran:?}") };
    assert_eq!((&*step, &*request), ("keys", "GET /"));
    assert_eq!(why, "the service panicked: no key is configured");
}

#[test]
fn body_of_a_response_that_fails_is_an_error() {
    let broken = service_fn(async |_: Request<String>| {
        let body = Full::<Bytes>::default().map_err(|never| match never {});
        let failing = body.with_trailers(async { Some(Err("connection reset")) });
        Ok::<_, Infallible>(Response::new(failing))
    });
    let error = Ladder::new(broken, [get("/")]).rounds(0).run().unwrap_err().to_string();
    assert!(error.ends_with("the response's body failed: \"connection reset\""), "{error}");
}

/// The status of a rejected call is 200, too; servers that answer with a message have the gRPC status in the trailers.
#[test]
fn rejected_grpc_call_is_told_from_an_answered_one() {
    let answers = service_fn(async |request: Request<String>| {
        let code = if request.uri().path() == "/denied" { "7" } else { "0" };
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static(code),
        )]);
        let body = Full::<Bytes>::default().with_trailers(async { Some(Ok(trailers)) });
        Ok::<_, Infallible>(Response::new(body))
    });
    let report = Ladder::new(answers, [get("/denied"), get("/allowed")])
        .instructions(Instructions::Off)
        .rounds(0)
        .run()
        .unwrap();
    let [denied, allowed] = &report.requests[..] else { panic!("two requests") };
    assert_eq!(
        (denied.status, denied.grpc_status, denied.is_rejected()),
        (Some(200), Some(7), true)
    );
    assert_eq!((allowed.grpc_status, allowed.is_rejected()), (Some(0), false));
    let markdown = report.to_markdown();
    assert!(markdown.contains("GET /denied, rejected with 200 and grpc-status 7"), "{markdown}");
}

/// The worker of `tower::buffer` starts when the layer is built, and serves all threads of the measurement.
#[test]
fn layer_with_a_background_task_is_measured() {
    let report = Ladder::new(service_fn(hello), [get("/")])
        .step("buffer", BufferLayer::<Request<String>>::new(16))
        .step("timeout", TimeoutLayer::new(Duration::from_secs(5)))
        .step("concurrency limit", ConcurrencyLimitLayer::new(10))
        .instructions(Instructions::Off)
        .threads(2)
        .rounds(2)
        .run()
        .unwrap();
    let buffer = &report.requests[0].steps[1];
    assert_eq!(buffer.status, Some(200));
    assert!(buffer.contended.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn measures_inside_an_async_function() {
    let report = Ladder::new(service_fn(hello), [get("/")])
        .step("buffer", BufferLayer::<Request<String>>::new(16))
        .instructions(Instructions::Off)
        .rounds(1)
        .run()
        .unwrap();
    assert_eq!(report.requests[0].steps.len(), 2);
}

#[test]
fn service_that_uses_the_network_is_measured() {
    let listens = service_fn(async |request: Request<String>| {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        assert!(listener.local_addr()?.port() > 0);
        Ok::<_, std::io::Error>(hello(request).await.unwrap())
    });
    let ladder = Ladder::new(listens, [get("/")]).instructions(Instructions::Off).rounds(0);
    assert_eq!(ladder.run().unwrap().requests[0].status, Some(200));
}

#[test]
fn slow_service_is_measured_with_fewer_requests() {
    let slow = service_fn(async |request| {
        tokio::time::sleep(Duration::from_millis(450)).await;
        hello(request).await
    });
    let report = Ladder::new(slow, [get("/")]).rounds(0).run().unwrap();
    let InstructionSource::Missing(why) = &report.instructions else { panic!("{report:?}") };
    assert!(why.starts_with("the service is slow, and counting would take 2"), "{why}");
    assert_eq!(report.requests[0].steps[0].total.polls, 2);
}

/// Reads the whole body, of any type.
async fn length<B>(request: Request<B>) -> Result<Response<String>, BoxError>
where
    B: Body<Error: Into<BoxError>>,
{
    let body = pin!(request.into_body()).collect().await.map_err(Into::into)?;
    Ok(Response::new(body.to_bytes().len().to_string()))
}

#[test]
fn accepts_large_bodies_new_body_types_and_repeated_names() {
    let post = Request::post("/upload").body(Full::new(Bytes::from(vec![7; 1 << 20]))).unwrap();
    let report = Ladder::new(AnyBody::new(service_fn(length)), [post])
        .step("limit", RequestBodyLimitLayer::new(2 << 20))
        .step("limit", RequestBodyLimitLayer::new(1 << 20))
        .step("boxed", layer_fn(BoxedResponse))
        .instructions(Instructions::Off)
        .rounds(1)
        .run()
        .unwrap();
    let names: Vec<_> = report.requests[0].steps.iter().map(|step| &step.name[..]).collect();
    assert_eq!(names, ["bare service", "limit", "limit", "boxed"]);
    assert!(report.requests[0].steps.iter().all(|step| step.status == Some(200)));
}

/// Answers with another type of body.
#[derive(Clone)]
struct BoxedResponse<S>(S);

impl<S, R, B> Service<R> for BoxedResponse<S>
where
    R: 'static,
    S: Service<R, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Sync + 'static,
{
    type Response = Response<http_body_util::combinators::BoxBody<Bytes, B::Error>>;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let answered = self.0.call(request);
        Box::pin(async move { Ok(answered.await?.map(BodyExt::boxed)) })
    }
}

#[test]
fn stack_without_steps_is_one_row() {
    let report = Ladder::new(service_fn(hello), [get("/")])
        .instructions(Instructions::Off)
        .rounds(1)
        .run()
        .unwrap();
    assert_eq!(report.requests[0].steps.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    report.write_svg(folder.path().join("one.svg")).unwrap();
}

/// hyper leaves room for more fields than it received. A clone of the fields has none.
#[test]
fn first_field_added_to_a_request_needs_no_allocation() {
    let names = [
        "accept",
        "accept-encoding",
        "accept-language",
        "cookie",
        "host",
        "origin",
        "referer",
        "te",
    ];
    let request = names.iter().fold(Request::get("/"), |request, name| request.header(*name, "a"));
    let id = SetRequestHeaderLayer::overriding(
        HeaderName::from_static("x-request-id"),
        HeaderValue::from_static("7"),
    );
    let report = Ladder::new(service_fn(hello), [request.body(String::new()).unwrap()])
        .step("request id", id)
        .instructions(Instructions::Off)
        .rounds(0)
        .run()
        .unwrap();
    assert_eq!(report.requests[0].steps[1].added.unwrap().allocations, Some(0));
}
