//! Bodies at, below and over the limit, and handlers that take it well or badly.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, LengthLimitError};
use palisade_body::{BodyLimit, Deadline, LimitedBody};
use palisade_core::{
    BoxError,
    testing::{Contract, Probe, Script, Step},
};
use tower::{Layer, ServiceExt, service_fn};

/// A script of unknown length, as a chunked body is.
struct Chunked(Script);

impl http_body::Body for Chunked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx).map_err(Into::into)
    }
}

fn chunked(chunks: &[&'static str]) -> Request<Chunked> {
    let steps = chunks.iter().flat_map(|chunk| [Step::Data(chunk), Step::Wait]);
    Request::post("/").body(Chunked(Script::of(steps))).unwrap()
}

async fn echo(request: Request<LimitedBody<Chunked>>) -> Result<Response<Full<Bytes>>, BoxError> {
    Ok(Response::new(Full::new(request.into_body().collect().await?.to_bytes())))
}

async fn swallow(
    request: Request<LimitedBody<Chunked>>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    let outcome = request.into_body().collect().await;
    let text = if outcome.is_ok() { "read" } else { "never mind" };
    Ok(Response::new(Full::new(Bytes::from(text))))
}

#[tokio::test]
async fn exactly_the_limit_passes_and_one_byte_more_does_not() {
    let limited = BodyLimit::new(8).layer(service_fn(echo));
    let response = limited.clone().oneshot(chunked(&["1234", "5678"])).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "12345678");
    let response = limited.clone().oneshot(chunked(&["1234", "56789"])).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let response = limited.oneshot(chunked(&["123456789"])).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_handler_that_swallows_the_error_does_not_turn_a_413_into_a_200() {
    let limited = BodyLimit::new(8).layer(service_fn(swallow));
    let response = limited.clone().oneshot(chunked(&["1234", "56789"])).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("PAYLOAD_TOO_LARGE"));
    let response = limited.oneshot(chunked(&["1234"])).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "read");
}

#[tokio::test]
async fn a_declared_length_is_refused_before_the_service_is_called() {
    for (content_length, body) in
        [(Some("9"), Script::empty()), (None, Script::of([Step::Data("123456789")]))]
    {
        let probe = Probe::new();
        let mut request = Request::post("/").body(body).unwrap();
        if let Some(length) = content_length {
            request.headers_mut().insert(header::CONTENT_LENGTH, length.parse().unwrap());
        }
        let response = BodyLimit::new(8).layer(probe.handle()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(response.headers()[header::CONNECTION], "close");
        assert_eq!(probe.calls(), 0);
    }
}

#[tokio::test]
async fn over_http_2_the_connection_stays() {
    let mut request = Request::post("/").body(Script::of([Step::Data("123456789")])).unwrap();
    *request.version_mut() = Version::HTTP_2;
    let response = BodyLimit::new(8).layer(Probe::new()).oneshot(request).await.unwrap();
    assert!(!response.headers().contains_key(header::CONNECTION));
}

#[tokio::test]
async fn the_bodys_error_is_one_that_extractors_know() {
    let limited =
        BodyLimit::new(3).layer(service_fn(|request: Request<LimitedBody<Chunked>>| async {
            let error = request.into_body().collect().await.unwrap_err();
            assert!(error.is::<LengthLimitError>());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
    limited.oneshot(chunked(&["1234"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_too_long_is_dropped_and_answered_for() {
    let probe = Probe::new().never_answering();
    let service = Deadline::new(Duration::from_secs(5)).layer(probe.handle());
    let response = service.oneshot(Request::new(Script::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(probe.dropped_unanswered(), 1);
}

#[tokio::test]
async fn every_layer_keeps_the_contract() {
    let contract =
        Contract::new(|| Request::post("/").body(Script::of([Step::Data("body")])).unwrap());
    contract.check(|| BodyLimit::new(1024));
    contract.check(|| Deadline::new(Duration::from_secs(5)));
}
