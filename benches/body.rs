//! What limits on bodies and time cost, beside those of tower-http: `cargo bench --bench body`.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use palisade::body::{BodyLimit, ByteSize, Deadline};
use palisade_benches::{Counting, asking, compare};
use tower::{Layer, service_fn};
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sixteen pieces of a body that does not say how long it is.
struct Chunked {
    left: usize,
}

impl Body for Chunked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.left.checked_sub(1).map(|left| {
            self.left = left;
            Ok(Frame::data(Bytes::from_static(&[b'x'; 1024])))
        }))
    }
}

/// Reads the body to its end, and counts it.
async fn reads<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = std::pin::pin!(request.into_body());
    let mut frames = 0;
    while let Some(Ok(_)) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        frames += 1;
    }
    assert!(frames > 0);
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

fn is_ok<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::OK
}

fn is_refused<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::PAYLOAD_TOO_LARGE
}

fn main() {
    // tower-http's timeout always arms a timer; ours needs none here
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();

    let (limit, peer) = (BodyLimit::new(ByteSize::mb(1)), RequestBodyLimitLayer::new(1 << 20));
    let post = || {
        let body = Full::new(Bytes::from_static(&[b'x'; 1024]));
        Request::post("/").header("content-length", "1024").body(body).unwrap()
    };
    compare(
        "A declared body of 1 KiB, read",
        &mut [
            asking("bare service", service_fn(reads), post, is_ok),
            asking("tower-http limit", peer.layer(service_fn(reads)), post, is_ok),
            asking("palisade limit", limit.layer(service_fn(reads)), post, is_ok),
        ],
    );

    let chunked = || Request::post("/").body(Chunked { left: 16 }).unwrap();
    let buffered = limit.clone().buffered();
    compare(
        "A chunked body of 16 times 1 KiB, read",
        &mut [
            asking("bare service", service_fn(reads), chunked, is_ok),
            asking("tower-http limit", peer.layer(service_fn(reads)), chunked, is_ok),
            asking("palisade limit", limit.layer(service_fn(reads)), chunked, is_ok),
            asking("palisade limit, buffered", buffered.layer(service_fn(reads)), chunked, is_ok),
        ],
    );

    let (small, small_peer) = (BodyLimit::new(100), RequestBodyLimitLayer::new(100));
    compare(
        "A declared length over the limit",
        &mut [
            asking("bare service", service_fn(hello), post, is_ok),
            asking(
                "tower-http, 413 in text",
                small_peer.layer(service_fn(hello)),
                post,
                is_refused,
            ),
            asking("palisade, 413 in JSON", small.layer(service_fn(hello)), post, is_refused),
        ],
    );

    let get = || Request::get("/").body(Full::<Bytes>::default()).unwrap();
    let time = Duration::from_secs(30);
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, time);
    compare(
        "A service that is ready at once",
        &mut [
            asking("bare service", service_fn(hello), get, is_ok),
            asking("tower-http timeout", timeout.layer(service_fn(hello)), get, is_ok),
            asking("palisade deadline", Deadline::new(time).layer(service_fn(hello)), get, is_ok),
            asking(
                "palisade deadline, idle times",
                Deadline::new(time).idle(time).layer(service_fn(hello)),
                get,
                is_ok,
            ),
        ],
    );
}
