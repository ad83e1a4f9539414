//! Bodies at, below and over the limit, and handlers that take it well or badly.

mod overrides;
mod unread;

#[path = "../chunked/mod.rs"]
mod chunked;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use chunked::{Chunked, chunked, code_of, trailers};
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty, Full, LengthLimitError, combinators::UnsyncBoxBody};
use palisade_body::{BodyLimit, ByteSize, LimitedBody};
use palisade_core::{
    ApiError, Body, BoxError, ErrorContext, PolicyLayer,
    testing::{Contract, Probe, Script, Step},
};
use tower::{Layer, Service, ServiceExt, service_fn};

type Answer = Result<Response<Full<Bytes>>, BoxError>;

fn text(text: &'static str) -> Answer {
    Ok(Response::new(Full::from(text)))
}

async fn echo<B>(request: Request<B>) -> Answer
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let body = request.into_body().collect().await.map_err(Into::into)?;
    Ok(Response::new(Full::new(body.to_bytes())))
}

async fn swallows(request: Request<LimitedBody<Chunked>>) -> Answer {
    let outcome = request.into_body().collect().await;
    text(if outcome.is_ok() { "read" } else { "never mind" })
}

async fn ignores<B>(_: Request<B>) -> Answer {
    text("ignored")
}

/// What was left of the body is kept until the future is dropped, which is after it has answered.
struct IgnoresAndKeeps(#[allow(dead_code)] LimitedBody<Chunked>);

impl Future for IgnoresAndKeeps {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        Poll::Ready(text("kept"))
    }
}

async fn reads_one_chunk(request: Request<LimitedBody<Chunked>>) -> Answer {
    let mut body = request.into_body();
    let first = body.frame().await.transpose();
    text(if first.is_ok() { "first" } else { "failed" })
}

async fn skips_errors(request: Request<LimitedBody<Chunked>>) -> Answer {
    let mut body = request.into_body();
    while body.frame().await.is_some() {}
    text("whatever")
}

type BoxedHandler =
    tower::util::BoxCloneService<Request<LimitedBody<Chunked>>, Response<Full<Bytes>>, BoxError>;

fn handlers() -> Vec<(&'static str, BoxedHandler)> {
    vec![
        ("echoes", service_fn(echo).boxed_clone()),
        ("swallows the error", service_fn(swallows).boxed_clone()),
        ("ignores the body", service_fn(ignores).boxed_clone()),
        (
            "keeps the body to the end",
            service_fn(|request: Request<_>| IgnoresAndKeeps(request.into_body())).boxed_clone(),
        ),
        ("reads one chunk", service_fn(reads_one_chunk).boxed_clone()),
        ("skips errors", service_fn(skips_errors).boxed_clone()),
    ]
}

#[tokio::test]
async fn body_over_the_limit_is_413_and_at_the_limit_passes() {
    for limit in [BodyLimit::new(8), BodyLimit::new(8).buffered(), BodyLimit::new(8).overridable()]
    {
        for (name, handler) in handlers() {
            let limited = limit.layer(handler);
            for within in [&[][..], &["1234"], &["1234", "5678"], &["12345678"], &["", "1", ""]] {
                let response = limited.clone().oneshot(chunked(within)).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK, "{limit:?} {name} {within:?}");
            }
            for over in [&["123456789"][..], &["1234", "56789"], &["1234", "5678", "9"]] {
                let response = limited.clone().oneshot(chunked(over)).await.unwrap();
                let context = format!("{limit:?} {name} {over:?}");
                assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{context}");
                assert_eq!(response.headers()[header::CONNECTION], "close", "{context}");
                assert_eq!(code_of(response.into_body()).await, "PAYLOAD_TOO_LARGE", "{context}");
            }
        }
    }
}

#[tokio::test]
async fn handler_gets_every_byte_and_the_trailers() {
    let seen = service_fn(|request: Request<LimitedBody<Chunked>>| async {
        let collected = request.into_body().collect().await?;
        let all = collected.trailers().cloned().unwrap_or_default();
        assert_eq!(trailers(&all), [("x-checksum", "7")]);
        Ok::<_, BoxError>(Response::new(Full::new(collected.to_bytes())))
    });
    for limit in [BodyLimit::new(8), BodyLimit::new(8).buffered()] {
        let body = Chunked::script([
            Step::Data("12"),
            Step::Wait,
            Step::Data("34"),
            Step::Data("56"),
            Step::Trailers(&[("x-checksum", "7")]),
        ]);
        let response = limit.layer(seen).oneshot(Request::new(body)).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "123456");
    }
}

#[tokio::test]
async fn body_ends_after_the_limit_error() {
    let limited =
        BodyLimit::new(3).layer(service_fn(|request: Request<LimitedBody<Chunked>>| async {
            let mut body = request.into_body();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "12");
            let error = body.frame().await.unwrap().unwrap_err();
            assert!(error.is::<LengthLimitError>(), "the error that extractors know");
            assert!(body.frame().await.is_none());
            text("")
        }));
    let body = Chunked::new(&["12", "34", "56"]);
    let taken = body.taken();
    let response = limited.oneshot(Request::new(body)).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(taken.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn declared_excess_is_rejected_before_the_service_is_called() {
    for (content_length, body) in
        [(Some("9"), Script::empty()), (None, Script::from_steps([Step::Data("123456789")]))]
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
async fn content_length_is_parsed_as_in_rfc_9112() {
    let nine = &["123456789"][..];
    let four = &["1234"][..];
    for (fields, body, expected) in [
        (&[("content-length", "8")][..], four, 200),
        (&[("content-length", "9")], four, 413),
        (&[("content-length", "99999999999999999999")], four, 413),
        // the same number is the same number
        (&[("content-length", "4"), ("content-length", "4")], four, 200),
        (&[("content-length", "4, 4")], four, 200),
        (&[("content-length", "4"), ("content-length", "5")], four, 400),
        (&[("content-length", "4, 9")], four, 400),
        (&[("content-length", "-1")], four, 400),
        (&[("content-length", "+4")], four, 400),
        (&[("content-length", "4,")], four, 400),
        (&[("content-length", "")], four, 400),
        (&[("content-length", "0x4")], four, 400),
        // beside a transfer coding it says nothing, and the body is counted
        (&[("content-length", "9"), ("transfer-encoding", "chunked")], four, 200),
        (&[("content-length", "4"), ("transfer-encoding", "chunked")], nine, 413),
        // a lie
        (&[("content-length", "4")], nine, 413),
        (&[], nine, 413),
    ] {
        for (name, handler) in handlers() {
            let mut request = chunked(body);
            for (field, value) in fields {
                request.headers_mut().append(*field, value.parse().unwrap());
            }
            let response = BodyLimit::new(8).layer(handler).oneshot(request).await.unwrap();
            assert_eq!(response.status(), expected, "{fields:?} {body:?} {name}");
        }
    }
}

#[tokio::test]
async fn http_2_rejection_keeps_the_connection_open() {
    for over in [&["123456789"][..], &["1234", "56789"]] {
        let mut request = chunked(over);
        *request.version_mut() = Version::HTTP_2;
        let response = BodyLimit::new(8).layer(service_fn(echo)).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(!response.headers().contains_key(header::CONNECTION));
    }
}

#[tokio::test]
async fn grpc_rejection_is_a_grpc_status() {
    for over in [&["123456789"][..], &["1234", "56789"]] {
        let mut request = chunked(over);
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let response =
            BodyLimit::new(8).layer(service_fn(swallows)).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], "8");
        assert!(http_body::Body::is_end_stream(response.body()));
    }
}

#[tokio::test]
async fn grpc_stream_may_exceed_the_limit_of_each_message() {
    const SMALL: &str = "\0\0\0\0\u{4}1234";
    const LARGE: &str = "\0\0\0\0\u{9}123456789";
    for (content_type, chunks, expected) in [
        ("application/grpc", &[SMALL, SMALL, SMALL][..], None),
        ("application/grpc+proto", &[SMALL, SMALL, SMALL], None),
        ("application/grpc", &[SMALL, LARGE], Some("8")),
    ] {
        let mut request = chunked(chunks);
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        let limit = BodyLimit::new(8).per_grpc_message();
        let response = limit.layer(service_fn(swallows)).oneshot(request).await.unwrap();
        let status = response.headers().get("grpc-status").map(|it| it.to_str().unwrap());
        assert_eq!(status, expected, "{content_type} {chunks:?}");
    }
    // what is no gRPC is counted as a whole
    let limit = BodyLimit::new(8).per_grpc_message();
    let response = limit.layer(service_fn(echo)).oneshot(chunked(&[SMALL, SMALL])).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn buffered_body_over_the_limit_never_reaches_the_service() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let service = service_fn(move |_: Request<LimitedBody<Chunked>>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { text("called") }
    });
    let limited = BodyLimit::new(8).buffered().layer(service);
    let over = limited.clone().oneshot(chunked(&["1234", "56789"])).await.unwrap();
    assert_eq!(over.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let broken = Request::new(Chunked::script([Step::Data("12"), Step::Fail]));
    let broken = limited.clone().oneshot(broken).await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    limited.oneshot(chunked(&["1234"])).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn body_error_is_passed_to_the_handler() {
    let broken = || Request::new(Chunked::script([Step::Data("12"), Step::Fail]));
    let read = BodyLimit::new(8).layer(service_fn(swallows)).oneshot(broken()).await.unwrap();
    assert_eq!(read.into_body().collect().await.unwrap().to_bytes(), "never mind");
    let unread = BodyLimit::new(8).layer(service_fn(ignores)).oneshot(broken()).await.unwrap();
    assert_eq!(unread.status(), StatusCode::OK);
}

/// Only the layer's own part of the body is told here; sockets are elsewhere.
#[tokio::test]
async fn request_without_a_body_passes_unchanged() {
    let service = service_fn(|request: Request<LimitedBody<Empty<Bytes>>>| async move {
        assert!(http_body::Body::is_end_stream(request.body()));
        text("")
    });
    let response: Response<Body<_>> =
        BodyLimit::new(0).layer(service).oneshot(Request::new(Empty::new())).await.unwrap();
    assert_eq!(response.headers(), &HeaderMap::new());
}

#[tokio::test]
async fn the_layer_keeps_the_contract() {
    let contract = Contract::new(|| {
        Request::post("/").body(Script::from_steps([Step::Data("body")])).unwrap()
    });
    contract.check(|| BodyLimit::new(1024));
    contract.check(|| BodyLimit::new(1024).overridable());
    contract.check(|| BodyLimit::new(1024).buffered());
    contract.check(|| UnknownLength(BodyLimit::new(1024)));
    contract.check(|| UnknownLength(BodyLimit::new(1024).buffered()));
}

/// Takes a body's length from it, so that the layer inside has to watch it.
#[derive(Clone)]
struct UnknownLength<L>(L);

impl<L: Layer<S>, S> Layer<S> for UnknownLength<L> {
    type Service = UnknownLength<L::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        UnknownLength(self.0.layer(inner))
    }
}

impl<S> Service<Request<Script>> for UnknownLength<S>
where
    S: Service<Request<UnsyncBoxBody<Bytes, BoxError>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Script>) -> S::Future {
        let body = Chunked::script([Step::Wait, Step::Data("body")]);
        self.0.call(request.map(|_| body.boxed_unsync()))
    }
}
