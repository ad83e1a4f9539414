//! Ten gigabytes against a limit of one megabyte, and how much memory they take. Alone in its process, which it measures.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use palisade::body::{BodyLimit, ByteSize};
use tokio::net::TcpListener;

static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// Sends what it is asked for, and holds none of it.
struct Endless {
    left: u64,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.left.min(CHUNK.len() as u64);
        self.left -= length;
        Poll::Ready((length > 0).then(|| {
            Ok(Frame::data(Bytes::from_static(&CHUNK[..usize::try_from(length).unwrap()])))
        }))
    }
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(target_os = "linux"), ignore = "it reads /proc")]
async fn memory_stays_constant_for_ten_gigabytes_over_the_limit() {
    let app = Router::new()
        .route("/collects", post(async |body: Body| body.collect().await.is_ok().to_string()))
        .route("/ignores", post(async || "done"))
        .layer(BodyLimit::new(ByteSize::mb(1)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let (mut most, mut before) = (0, 0);
    for round in 0..5 {
        for http2 in [true, false] {
            for path in ["collects", "ignores"] {
                let client: Client<_, Endless> =
                    Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
                let request = Request::post(format!("http://{address}/{path}"))
                    .body(Endless { left: 10 << 30 })
                    .unwrap();
                // Over HTTP/1.1 the server closes a connection on which the client still sends. The answer may be lost
                // to the reset of the connection, as RFC 9112, section 9.6, has it.
                match client.request(request).await {
                    Ok(response) => assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE),
                    Err(error) => assert!(!http2, "{error:?}"),
                }
                most = most.max(resident());
            }
        }
        if round == 0 {
            // what code, stacks and buffers take once everything has run
            before = most;
        }
    }
    let grown = most - before;
    assert!(grown < 8 << 20, "grown by {grown} bytes to {most}");
    assert!(most < 128 << 20, "{most} bytes");
}
