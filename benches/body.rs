//! Limits on bodies and time, beside those of tower-http.

use std::{
    convert::Infallible,
    future::poll_fn,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use palisade::body::{BodyLimit, ByteSize, Deadline};
use palisade_bench::{Comparison, Subject};
use tower::{Layer, service_fn};
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

use crate::{BARE, growing, hello, powers_of_ten};

/// A body in pieces, without a declared length.
#[derive(Clone, Copy)]
struct Chunked {
    left: usize,
    piece: usize,
}

impl Body for Chunked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.left.min(self.piece);
        self.left -= piece;
        // Opaque, as the bytes of a server are: otherwise the compiler removes what the bare service does with them.
        let data = black_box(Bytes::from_static(&[b'x'; 16 * 1024])).slice(..piece);
        Poll::Ready((piece > 0).then_some(Ok(Frame::data(data))))
    }
}

/// Reads the body to its end.
async fn reads<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = pin!(request.into_body());
    while let Some(Ok(_)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

/// Limits that are kept and exceeded, and time limits of a service that is ready at once.
pub fn compare() -> Comparison {
    let (limit, peer) = (BodyLimit::new(ByteSize::mb(1)), RequestBodyLimitLayer::new(1 << 20));
    let post = || {
        let body = Full::new(Bytes::from_static(&[b'x'; 1024]));
        Request::post("/").header("content-length", "1024").body(body).unwrap()
    };
    let chunked = || Request::post("/").body(Chunked { left: 16 * 1024, piece: 1024 }).unwrap();
    let get = || Request::get("/").body(Full::<Bytes>::default()).unwrap();
    let buffered = limit.clone().buffered();
    let (small, small_peer) = (BodyLimit::new(100), RequestBodyLimitLayer::new(100));
    let time = Duration::from_secs(30);
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, time);
    let idle = Deadline::new(time).idle(time);
    Comparison::new("body")
        .set(
            "a declared body of 1 KiB, read",
            [
                Subject::service(BARE, service_fn(reads), post),
                Subject::service("Palisade", limit.layer(service_fn(reads)), post),
                Subject::service("tower-http", peer.layer(service_fn(reads)), post),
            ],
        )
        .set(
            "a chunked body of 16 times 1 KiB, read",
            [
                Subject::service(BARE, service_fn(reads), chunked),
                Subject::service("Palisade", limit.layer(service_fn(reads)), chunked),
                Subject::service("tower-http", peer.layer(service_fn(reads)), chunked),
                Subject::service("Palisade, buffered", buffered.layer(service_fn(reads)), chunked),
            ],
        )
        .set(
            "a declared length over the limit",
            [
                Subject::service(BARE, service_fn(hello), post),
                Subject::service("Palisade, 413 in JSON", small.layer(service_fn(hello)), post),
                Subject::service(
                    "tower-http, 413 in text",
                    small_peer.layer(service_fn(hello)),
                    post,
                ),
            ],
        )
        .set(
            "a time limit, the service is ready at once",
            [
                Subject::service(BARE, service_fn(hello), get),
                Subject::service("Palisade", Deadline::new(time).layer(service_fn(hello)), get),
                Subject::service("tower-http", timeout.layer(service_fn(hello)), get),
                Subject::service("Palisade, with idle times", idle.layer(service_fn(hello)), get),
            ],
        )
}

/// Bodies of 100 bytes to 10 MB.
pub fn growth() -> Comparison {
    let subjects = |bytes: usize| {
        let request =
            move || Request::post("/").body(Chunked { left: bytes, piece: 16 * 1024 }).unwrap();
        let (limit, peer) = (BodyLimit::new(1 << 30), RequestBodyLimitLayer::new(1 << 30));
        vec![
            Subject::service(BARE, service_fn(reads), request),
            Subject::service("Palisade", limit.layer(service_fn(reads)), request),
            Subject::service("tower-http", peer.layer(service_fn(reads)), request),
        ]
    };
    growing("body size", powers_of_ten(100, 10_000_000).map(|bytes| (bytes, subjects(bytes))))
}
