//! Limits on calls of gRPC and gRPC-web whose response has begun.

mod chunked;

use std::{convert::Infallible, time::Duration};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use chunked::Chunked;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use palisade_body::{BodyLimit, Deadline, ResponseLimit};
use palisade_core::{
    Body, BoxError,
    testing::{Probe, Script},
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

const NATIVE: &str = "application/grpc";
const WEB: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";

/// A message of three bytes, and one of eight.
const SHORT: &str = "\0\0\0\0\x03abc";
const LONG: &str = "\0\0\0\0\x0812345678";
/// The same in base64.
const SHORT_TEXT: &str = "AAAAAANhYmM=";
const LONG_TEXT: &str = "AAAAAAgxMjM0NTY3OA==";

fn call(media_type: &str, messages: &[&'static str]) -> Request<Chunked> {
    let request = Request::post("/v1.Chat/Talk").header("content-type", media_type);
    request.body(Chunked::new(messages).stalling()).unwrap()
}

/// Answers at once, and sends back what it reads.
async fn echoes<B>(request: Request<B>) -> Result<Response<B>, Infallible> {
    let media_type = request.headers()["content-type"].clone();
    let response = Response::builder().header("content-type", media_type);
    Ok(response.body(request.into_body()).unwrap())
}

/// The bytes of a response, and its trailers. Panics if it breaks off.
async fn whole<S, ReqB, B>(service: S, request: Request<ReqB>) -> (Bytes, HeaderMap)
where
    S: Service<Request<ReqB>, Response = Response<Body<B>>, Error = Infallible>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let response = service.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    (body.to_bytes(), trailers)
}

/// The trailers in the last frame of a gRPC-web body.
fn web_trailers(media_type: &str, body: &[u8], sent_before: &str) -> String {
    let rest = body.strip_prefix(sent_before.as_bytes()).expect("the messages before");
    let frame =
        if media_type == TEXT { BASE64_STANDARD.decode(rest).unwrap() } else { rest.to_vec() };
    let (prefix, fields) = frame.split_at(5);
    assert_eq!(prefix[0], 0x80, "{frame:?}");
    assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, fields.len());
    String::from_utf8(fields.to_vec()).unwrap()
}

#[tokio::test]
async fn long_message_in_a_running_stream_is_resource_exhausted() {
    let service = BodyLimit::new(3).per_grpc_message().layer(service_fn(echoes));
    let request = call(NATIVE, &[SHORT, SHORT, LONG]);
    let (body, trailers) = whole(service, request).await;
    assert_eq!(body, [SHORT, SHORT].concat());
    assert_eq!(trailers["grpc-status"], "8");
    assert!(trailers.contains_key("grpc-status-details-bin"));
}

#[tokio::test]
async fn long_message_in_a_running_web_stream_is_resource_exhausted() {
    for (media_type, short, long) in [(WEB, SHORT, LONG), (TEXT, SHORT_TEXT, LONG_TEXT)] {
        let service = BodyLimit::new(3).per_grpc_message().layer(service_fn(echoes));
        let (body, _) = whole(service, call(media_type, &[short, short, long])).await;
        let fields = web_trailers(media_type, &body, &[short, short].concat());
        assert!(fields.contains("grpc-status:8\r\n"), "{fields}");
        assert!(fields.contains("grpc-status-details-bin:"), "{fields}");
        assert!(!fields.contains("connection:"), "{fields}");
    }
}

#[tokio::test]
async fn stream_over_the_total_limit_ends_with_a_status() {
    let service = BodyLimit::new(20).layer(service_fn(echoes));
    let (body, trailers) = whole(service, call(NATIVE, &[SHORT, SHORT, LONG])).await;
    assert_eq!(body, [SHORT, SHORT].concat());
    assert_eq!(trailers["grpc-status"], "8");
}

#[tokio::test]
async fn response_cut_within_a_message_gets_no_status() {
    // The handler sends the first half of a message, and a status after it would be read as the other half.
    let service = BodyLimit::new(6).layer(service_fn(echoes));
    let response = service.oneshot(call(WEB, &["\0\0\0\0\x03", "abc"])).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn response_over_its_limit_is_resource_exhausted() {
    for media_type in [NATIVE, WEB] {
        let streams = service_fn(move |_: Request<Script>| async move {
            let messages = Chunked::new(&[SHORT, LONG]);
            let response = Response::builder().header("content-type", media_type);
            Ok::<_, Infallible>(response.body(messages).unwrap())
        });
        let request = Request::post("/v1.Chat/Talk").header("content-type", media_type);
        let request = request.body(Script::empty()).unwrap();
        let (body, trailers) = whole(ResponseLimit::new(10).layer(streams), request).await;
        let status = if media_type == NATIVE {
            trailers["grpc-status"].to_str().unwrap().to_owned()
        } else {
            web_trailers(media_type, &body, SHORT)
        };
        assert!(status.contains('8'), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_web_client_timeout_is_applied() {
    for media_type in [WEB, TEXT] {
        let deadline = Deadline::new(Duration::from_secs(60));
        let request = || {
            let request = Request::post("/a.B/C").header("content-type", media_type);
            request.header("grpc-timeout", "2S").body(Script::empty()).unwrap()
        };
        let start = Instant::now();
        let never = deadline.layer(Probe::new().never_answering());
        let response = never.oneshot(request()).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 2);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(web_trailers(media_type, &body, "").contains("grpc-status:4\r\n"));

        let stalls = service_fn(move |_: Request<_>| async move {
            let response = Response::builder().header("content-type", media_type);
            Ok::<_, Infallible>(response.body(Chunked::new(&[]).stalling()).unwrap())
        });
        let (body, _) = whole(deadline.layer(stalls), request()).await;
        assert_eq!(start.elapsed().as_secs(), 4);
        let fields = web_trailers(media_type, &body, "");
        assert!(fields.contains("grpc-status:4\r\n"), "{fields}");
        assert!(fields.contains("grpc-status-details-bin:"), "{fields}");
    }
}

#[tokio::test]
async fn grpc_web_rejection_has_no_connection_trailer() {
    for media_type in [WEB, TEXT] {
        // HTTP/1.1, where the refusal closes the connection
        let reads = service_fn(|request: Request<_>| async {
            let body: palisade_body::LimitedBody<Chunked> = request.into_body();
            let _ = body.collect().await;
            Ok::<_, Infallible>(Response::new(Script::empty()))
        });
        let service = BodyLimit::new(3).layer(reads);
        let response = service.oneshot(call(media_type, &[LONG])).await.unwrap();
        assert_eq!(response.headers()["connection"], "close");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let fields = web_trailers(media_type, &body, "");
        assert!(fields.contains("grpc-status:8\r\n"), "{fields}");
        assert!(!fields.contains("connection:"), "{fields}");
    }
}

#[tokio::test]
async fn grpc_status_in_the_head_is_not_replaced() {
    let (send, rest) = tokio::sync::oneshot::channel();
    let send = std::sync::Mutex::new(Some(send));
    let answers = service_fn(|request: Request<_>| {
        let body: palisade_body::LimitedBody<Chunked> = request.into_body();
        let _ = send.lock().unwrap().take().unwrap().send(body);
        let response =
            Response::builder().header("content-type", NATIVE).header("grpc-status", "5");
        async move { Ok::<_, Infallible>(response.body(Script::empty()).unwrap()) }
    });
    let mut service = BodyLimit::new(3).per_grpc_message().layer(answers);
    let response = service.call(call(NATIVE, &[LONG])).await.unwrap();
    assert!(rest.await.unwrap().collect().await.is_err(), "goes over while the response is sent");
    assert_eq!(response.headers()["grpc-status"], "5");
    assert!(response.into_body().collect().await.unwrap().trailers().is_none());
}
