//! The rejections of layers on the trail of observed requests.

mod chunked;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use chunked::Chunked;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use palisade_body::{BodyLimit, Deadline, ResponseLimit};
use palisade_core::{
    BoxError, SystemClock, Trail,
    testing::{Probe, Step},
};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// The steps that one request leaves, when its response has been read to its end.
async fn steps<S, B, ReqB>(service: S, mut request: Request<ReqB>) -> Vec<String>
where
    S: Service<Request<ReqB>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
{
    let trail = Trail::new(SystemClock::shared());
    request.extensions_mut().insert(trail.clone());
    let response = service.oneshot(request).await.unwrap();
    drop(response.into_body().collect().await);
    trail.steps().iter().map(ToString::to_string).collect()
}

async fn reads<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, BoxError>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let body = request.into_body().collect().await.map_err(Into::into)?;
    Ok(Response::new(Full::new(body.to_bytes())))
}

async fn ignores<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, BoxError> {
    Ok(Response::new(Full::from("hello")))
}

async fn echoes<B>(request: Request<B>) -> Result<Response<B>, Infallible> {
    Ok(Response::new(request.into_body()))
}

fn chunks(chunks: &[&'static str]) -> Request<Chunked> {
    Request::post("/").body(Chunked::new(chunks)).unwrap()
}

fn declaring(length: &str) -> Request<Chunked> {
    let request = Request::post("/").header("content-length", length);
    request.body(Chunked::new(&["123456789"])).unwrap()
}

#[tokio::test(start_paused = true)]
async fn body_over_the_limit_is_recorded_once_on_the_trail() {
    const TOO_LARGE: &[&str] = &["BodyLimit=refused(PAYLOAD_TOO_LARGE)"];
    let limit = || BodyLimit::new(8);
    let over = || chunks(&["1234", "56789"]);

    assert_eq!(steps(limit().layer(service_fn(reads)), declaring("9")).await, TOO_LARGE);
    assert_eq!(steps(limit().layer(service_fn(reads)), over()).await, TOO_LARGE, "as it is read");
    assert_eq!(steps(limit().layer(service_fn(ignores)), over()).await, TOO_LARGE, "unread");
    let buffered = limit().buffered();
    assert_eq!(steps(buffered.layer(service_fn(reads)), over()).await, TOO_LARGE, "before it");
    let overridable = limit().overridable();
    assert_eq!(steps(overridable.layer(service_fn(ignores)), declaring("9")).await, TOO_LARGE);
    assert_eq!(steps(overridable.layer(service_fn(reads)), declaring("9")).await, TOO_LARGE);
    let streams = limit().layer(service_fn(echoes));
    assert_eq!(steps(streams, over()).await, TOO_LARGE, "with the head out");
}

#[tokio::test(start_paused = true)]
async fn body_limit_records_other_rejections_on_the_trail() {
    let limit = || BodyLimit::new(8);
    let malformed = declaring("1, 2");
    let noted = steps(limit().layer(service_fn(reads)), malformed).await;
    assert_eq!(noted, ["BodyLimit=refused(BAD_REQUEST)"]);
    let broken = Request::new(Chunked::script([Step::Fail]));
    let noted = steps(limit().buffered().layer(service_fn(reads)), broken).await;
    assert_eq!(noted, ["BodyLimit=refused(BAD_REQUEST)"]);
    let stalls = Request::new(Chunked::new(&["1"]).stalling());
    let noted = steps(limit().layer(service_fn(ignores)), stalls).await;
    assert_eq!(noted, ["BodyLimit=refused(REQUEST_TIMEOUT)"]);
}

#[tokio::test(start_paused = true)]
async fn deadline_records_client_and_handler_timeouts() {
    let stalls = || Request::post("/").body(Chunked::new(&["1"]).stalling()).unwrap();
    let deadline = Deadline::new(5 * SECOND);

    let never = deadline.layer(Probe::new().never_answering().handle());
    assert_eq!(steps(never, chunks(&[])).await, ["Deadline=could_not_tell(DEADLINE_EXCEEDED)"]);
    let reading = deadline.layer(service_fn(reads));
    assert_eq!(steps(reading, stalls()).await, ["Deadline=refused(REQUEST_TIMEOUT)"]);
    let idle = deadline.request_idle(SECOND);
    let reading = idle.layer(service_fn(reads));
    assert_eq!(steps(reading, stalls()).await, ["Deadline=refused(REQUEST_TIMEOUT)"]);

    // with the head out
    let echoing = idle.layer(service_fn(echoes));
    assert_eq!(steps(echoing, stalls()).await, ["Deadline=refused(REQUEST_TIMEOUT)"]);
    let pausing = deadline.response_idle(SECOND).layer(service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Chunked::new(&["1"]).stalling()))
    }));
    assert_eq!(steps(pausing, chunks(&[])).await, ["Deadline=could_not_tell(DEADLINE_EXCEEDED)"]);
}

#[tokio::test]
async fn oversized_response_is_recorded_before_and_after_its_head() {
    const TOO_LARGE: &[&str] = &["ResponseLimit=could_not_tell(RESPONSE_TOO_LARGE)"];
    let limit = ResponseLimit::new(4);
    assert_eq!(steps(limit.layer(service_fn(ignores)), chunks(&[])).await, TOO_LARGE);
    let streams = limit.layer(service_fn(echoes));
    assert_eq!(steps(streams, chunks(&["1234", "5"])).await, TOO_LARGE);
}

#[tokio::test]
async fn allowed_requests_leave_no_step_but_count_bytes() {
    let trail = Trail::new(SystemClock::shared());
    for limit in [BodyLimit::new(8), BodyLimit::new(8).buffered()] {
        for handler in [true, false] {
            let mut request = chunks(&["1234", "567"]);
            request.extensions_mut().insert(trail.clone());
            let handler = service_fn(move |request| async move {
                if handler { reads(request).await } else { ignores(request).await }
            });
            let layers =
                Deadline::new(SECOND).layer(ResponseLimit::new(8).layer(limit.layer(handler)));
            assert_eq!(layers.oneshot(request).await.unwrap().status(), 200);
        }
    }
    assert!(trail.steps().is_empty(), "{trail:?}");
    assert_eq!(trail.body_bytes(), 7);
}
