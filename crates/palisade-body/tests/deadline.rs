//! Handlers, clients and streams that take their time.

mod chunked;

use std::{
    convert::Infallible,
    future::pending,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use chunked::{Chunked, code_of, trailers};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use palisade_body::{BodyLimit, Deadline, TimedBody};
use palisade_core::{
    ApiError, BoxError,
    testing::{Contract, Probe, Script, Step},
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

type Answer = Result<Response<Full<Bytes>>, BoxError>;

const SECOND: Duration = Duration::from_secs(1);

fn stalling() -> Request<Chunked> {
    Request::post("/").body(Chunked::new(&["12"]).stalling()).unwrap()
}

async fn reads<B>(request: Request<B>) -> Answer
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let body = request.into_body().collect().await.map_err(Into::into)?;
    Ok(Response::new(Full::new(body.to_bytes())))
}

async fn swallows(request: Request<TimedBody<Chunked>>) -> Answer {
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::from("never mind")))
}

/// Answers, and how long it took.
async fn timed<S, R, B>(service: S, request: R) -> (Response<B>, Duration)
where
    S: Service<R, Response = Response<B>>,
    S::Error: std::fmt::Debug,
{
    let start = Instant::now();
    let response = service.oneshot(request).await.unwrap();
    (response, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn service_over_the_deadline_is_dropped_and_gets_504() {
    let probe = Probe::new().never_answering();
    let service = Deadline::new(5 * SECOND).layer(probe.handle());
    let (response, took) = timed(service, Request::new(Script::empty())).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(probe.dropped_unanswered(), 1);
    assert_eq!(took.as_secs(), 5);
    assert_eq!(code_of(response.into_body()).await, "DEADLINE_EXCEEDED");
}

#[tokio::test(start_paused = true)]
async fn handler_is_dropped_before_the_client_is_answered() {
    let probe = Probe::new().never_answering();
    let mut service = Deadline::new(5 * SECOND).layer(probe.handle());
    ServiceExt::<Request<Script>>::ready(&mut service).await.unwrap();
    let mut future = std::pin::pin!(service.call(Request::new(Script::empty())));
    future.as_mut().await.unwrap();
    assert_eq!(probe.dropped_unanswered(), 1, "and the layer's own future is still there");
}

#[tokio::test(start_paused = true)]
async fn service_within_the_deadline_is_unchanged() {
    let service = Deadline::new(5 * SECOND).layer(service_fn(|request| async {
        tokio::time::sleep(4 * SECOND).await;
        reads::<TimedBody<Script>>(request).await
    }));
    let (response, _) =
        timed(service, Request::new(Script::from_steps([Step::Data("body")]))).await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "body");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_request_body_is_408() {
    let service = Deadline::new(5 * SECOND).layer(service_fn(reads));
    let (response, took) = timed(service, stalling()).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(response.headers()[header::CONNECTION], "close");
    assert_eq!(took.as_secs(), 5);
    assert_eq!(code_of(response.into_body()).await, "REQUEST_TIMEOUT");

    let mut request = stalling();
    *request.version_mut() = Version::HTTP_2;
    let service = Deadline::new(5 * SECOND).layer(service_fn(reads));
    let (response, _) = timed(service, request).await;
    assert!(!response.headers().contains_key(header::CONNECTION));
}

#[tokio::test(start_paused = true)]
async fn handler_that_stopped_reading_gets_504() {
    let service =
        Deadline::new(5 * SECOND).layer(service_fn(|request: Request<TimedBody<Chunked>>| async {
            let body = request.into_body();
            let _ = tokio::time::timeout(SECOND, body.collect()).await;
            pending::<Answer>().await
        }));
    let (response, _) = timed(service, stalling()).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn handler_that_received_the_body_gets_504() {
    let service =
        Deadline::new(5 * SECOND).layer(service_fn(|request: Request<TimedBody<Chunked>>| async {
            let mut body = request.into_body();
            // it waits for the second one, and then holds on to what is left
            let chunks = (body.frame().await, body.frame().await);
            assert!(chunks.0.is_some() && chunks.1.is_some());
            pending::<Answer>().await
        }));
    let body = Chunked::script([Step::Data("1"), Step::Wait, Step::Data("2"), Step::Wait]);
    let (response, _) = timed(service, Request::post("/").body(body.stalling()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn body_ends_after_the_idle_error() {
    let deadline = Deadline::new(60 * SECOND).idle(2 * SECOND);
    let service = deadline.layer(service_fn(|request: Request<_>| async {
        let mut body: TimedBody<_> = request.into_body();
        assert!(body.frame().await.is_some_and(|frame| frame.is_err()));
        tokio::time::sleep(2 * SECOND).await;
        assert!(body.frame().await.is_none(), "what came too late is not handed on");
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    }));
    let request = Request::post("/").body(Box::pin(dripping(3 * SECOND, 2))).unwrap();
    assert_eq!(timed(service, request).await.0.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn idle_client_gets_408_for_any_handler() {
    let deadline = Deadline::new(60 * SECOND).idle(2 * SECOND);
    let (response, took) = timed(deadline.layer(service_fn(reads)), stalling()).await;
    assert_eq!((response.status(), took.as_secs()), (StatusCode::REQUEST_TIMEOUT, 2));
    let (response, took) = timed(deadline.layer(service_fn(swallows)), stalling()).await;
    assert_eq!((response.status(), took.as_secs()), (StatusCode::REQUEST_TIMEOUT, 2));
    assert_eq!(response.headers()[header::CONNECTION], "close");
}

/// A body with pauses.
fn dripping(pause: Duration, drops: usize) -> impl http_body::Body<Data = Bytes, Error = BoxError> {
    let (mut sender, body) = http_body_util::channel::Channel::<Bytes, BoxError>::new(1);
    tokio::spawn(async move {
        for _ in 0..drops {
            tokio::time::sleep(pause).await;
            if sender.send_data(Bytes::from_static(b".")).await.is_err() {
                return;
            }
        }
    });
    body
}

#[tokio::test(start_paused = true)]
async fn pauses_within_the_idle_time_are_unlimited_in_number() {
    let deadline = Deadline::new(60 * SECOND).idle(2 * SECOND);
    let request = Request::new(dripping(SECOND, 30));
    let (response, took) = timed(deadline.layer(service_fn(reads)), request).await;
    assert_eq!((response.status(), took.as_secs()), (StatusCode::OK, 30));
}

#[tokio::test(start_paused = true)]
async fn stream_may_exceed_the_deadline_but_not_the_idle_time() {
    for (pause, whole) in [(SECOND, true), (3 * SECOND, false)] {
        let streams = service_fn(move |_: Request<TimedBody<Script>>| async move {
            Ok::<_, Infallible>(Response::new(dripping(pause, 30)))
        });
        let service = Deadline::new(5 * SECOND).idle(2 * SECOND).layer(streams);
        let (response, _) = timed(service, Request::new(Script::empty())).await;
        let start = Instant::now();
        match response.into_body().collect().await {
            Ok(body) => {
                assert!(whole);
                assert_eq!((body.to_bytes().len(), start.elapsed().as_secs()), (30, 30));
            }
            Err(error) => {
                assert!(!whole);
                assert_eq!(start.elapsed().as_secs(), 2);
                let error = error.downcast::<ApiError>().expect("an error of ours");
                assert_eq!(error.code(), "DEADLINE_EXCEEDED");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn streamed_response_is_aborted_if_the_client_is_idle() {
    let echoes = service_fn(|request: Request<TimedBody<Chunked>>| async {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let service = Deadline::new(5 * SECOND).request_idle(2 * SECOND).layer(echoes);
    let (response, _) = timed(service, stalling()).await;
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "12");
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
}

fn grpc(timeout: &str) -> Request<Script> {
    let request = Request::post("/a.B/C").header("content-type", "application/grpc");
    request.header("grpc-timeout", timeout).body(Script::empty()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn grpc_uses_the_shorter_of_deadline_and_client_timeout() {
    for (timeout, seconds) in [("2S", 2), ("20S", 5), ("soon", 5), ("99999999H", 5), ("0n", 0)] {
        let probe = Probe::new().never_answering();
        let service = Deadline::new(5 * SECOND).layer(probe.handle());
        let (response, took) = timed(service, grpc(timeout)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], "4", "{timeout}");
        assert_eq!(took.as_secs(), seconds, "{timeout}");
        assert_eq!(probe.dropped_unanswered(), 1);
    }
    // what is no gRPC is not asked how long it wants to wait
    let mut request = grpc("1S");
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let service = Deadline::new(5 * SECOND).layer(Probe::new().never_answering());
    let (response, took) = timed(service, request).await;
    assert_eq!((response.status(), took.as_secs()), (StatusCode::GATEWAY_TIMEOUT, 5));
}

#[tokio::test(start_paused = true)]
async fn grpc_timeout_ends_a_stream_with_a_status() {
    let streams = service_fn(|_: Request<TimedBody<Script>>| async {
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, Infallible>(response.body(dripping(3 * SECOND, 30)).unwrap())
    });
    for (deadline, timeout, seconds) in [
        (Deadline::new(5 * SECOND), "10S", 10),
        (Deadline::new(5 * SECOND).idle(2 * SECOND), "10S", 2),
    ] {
        let (response, _) = timed(deadline.layer(streams), grpc(timeout)).await;
        let start = Instant::now();
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(start.elapsed().as_secs(), seconds);
        let ended = collected.trailers().expect("a status");
        assert_eq!(trailers(ended)[0], ("grpc-status", "4"));
        assert!(ended.contains_key("grpc-status-details-bin"));
    }
}

/// A body that always has more, and takes a second for each frame.
struct AlwaysReady {
    frames: usize,
}

impl http_body::Body for AlwaysReady {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // The clock moves, and the caller sees no pause.
        let mut second = pin!(tokio::time::advance(SECOND));
        while second.as_mut().poll(cx).is_pending() {}
        let left = self.frames.checked_sub(1);
        Poll::Ready(left.map(|left| {
            self.frames = left;
            Ok(match left {
                0 => {
                    let status = (HeaderName::from_static("grpc-status"), HeaderValue::from(0));
                    Frame::trailers(HeaderMap::from_iter([status]))
                }
                _ => Frame::data(Bytes::from_static(b"\0\0\0\0\0")),
            })
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn always_ready_grpc_stream_ends_at_its_deadline() {
    let streams = |frames| {
        service_fn(move |_: Request<TimedBody<Script>>| async move {
            let response = Response::builder().header("content-type", "application/grpc");
            Ok::<_, Infallible>(response.body(AlwaysReady { frames }).unwrap())
        })
    };
    for (frames, messages, status) in [(1_000, 4, "4"), (5, 4, "0"), (6, 4, "4")] {
        let service = Deadline::new(60 * SECOND).layer(streams(frames));
        let (response, _) = timed(service, grpc("5S")).await;
        let collected = response.into_body().collect().await.unwrap();
        let ended = collected.trailers().expect("a status");
        assert_eq!(ended["grpc-status"], status, "{frames}");
        assert_eq!(collected.to_bytes().len(), 5 * messages, "{frames}");
    }
    // A client of HTTP has no such time.
    let service = Deadline::new(SECOND).idle(SECOND).layer(streams(100));
    let (response, _) = timed(service, Request::new(Script::empty())).await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 5 * 99);
}

#[tokio::test(start_paused = true)]
async fn reads_by_the_body_limit_are_timed() {
    let ignores = service_fn(|_: Request<_>| async {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    });
    let service = Deadline::new(5 * SECOND).layer(BodyLimit::new(8).layer(ignores));
    let (response, took) = timed(service, stalling()).await;
    assert_eq!((response.status(), took.as_secs()), (StatusCode::REQUEST_TIMEOUT, 5));
}

/// Without a runtime a timer that is touched panics.
#[test]
fn timers_are_not_created_if_the_service_is_ready_at_once() {
    let mut service =
        Deadline::new(SECOND).idle(SECOND).layer(service_fn(reads::<TimedBody<Script>>));
    let request = Request::new(Script::from_steps([Step::Data("1"), Step::Data("2")]));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut future = std::pin::pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!("ready at once") };
    let mut body = std::pin::pin!(response.into_body().collect());
    assert!(body.as_mut().poll(&mut cx).is_ready());
}

#[tokio::test]
async fn the_layer_keeps_the_contract() {
    let contract = Contract::new(|| {
        Request::post("/").body(Script::from_steps([Step::Data("body")])).unwrap()
    });
    contract.check(|| Deadline::new(5 * SECOND));
    contract.check(|| Deadline::new(5 * SECOND).idle(SECOND));
}
