//! A gigabyte that is streamed to the handler, files that are stored, forty gigabytes that are refused, and how much memory
//! they take. Alone in its process, which it measures.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, routing::post};
use bytes::Bytes;
use garde::Validate;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use palisade::{
    ApiError,
    validate::{Multipart, MultipartStream, Uploads, Valid},
};
use serde::Deserialize;
use tokio::net::TcpListener;

static CHUNK: [u8; 64 * 1024] = [0; 64 * 1024];
const FIRST: &[u8] = b"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.mp4\"\r\n\r\n\0\0\0\x18ftypmp42\0\0\0\0mp42isom";
const LAST: &[u8] =
    b"\r\n--B\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nlong\r\n--B--\r\n";

/// A form with one file of this many zeros, made as it is sent and never declared.
struct Form {
    has_begun: bool,
    left: Option<u64>,
}

impl http_body::Body for Form {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let left = self.left;
        let bytes = match left {
            _ if !std::mem::replace(&mut self.has_begun, true) => FIRST,
            None => return Poll::Ready(None),
            Some(0) => {
                self.left = None;
                LAST
            }
            Some(left) => {
                let length = left.min(CHUNK.len() as u64);
                self.left = Some(left - length);
                &CHUNK[..usize::try_from(length).unwrap()]
            }
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(bytes)))))
    }
}

#[derive(Deserialize, Validate)]
struct About {
    #[garde(length(chars, min = 1))]
    title: String,
}

async fn streams(Valid(mut form): Valid<MultipartStream<About>>) -> Result<String, ApiError> {
    let mut bytes = 0;
    while let Some(mut file) = form.next_file().await? {
        while let Some(chunk) = file.chunk().await? {
            bytes += chunk.len();
        }
    }
    Ok(format!("{} {bytes}", form.finish().await?.title))
}

async fn stores(Valid(form): Valid<Multipart<About>>) -> String {
    format!("{} {}", form.fields.title, form.files[0].size())
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(target_os = "linux"), ignore = "it reads /proc")]
async fn memory_stays_constant_for_gigabytes_in_a_form() {
    let films = |cap: usize| {
        let films = Uploads::builder().max_body_bytes(cap + 1024).max_file_bytes(cap);
        films.allow_types(["video/mp4"]).build().unwrap().layer()
    };
    let app = Router::new()
        .route("/streamed", post(streams).layer(films(8 << 30)))
        .route("/stored", post(stores).layer(films(8 << 30)))
        .route("/refused", post(streams).layer(films(1 << 20)))
        .route("/refused/stored", post(stores).layer(films(1 << 20)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let send = async |path: &str, http2: bool, bytes: u64| {
        let client: Client<_, Form> =
            Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        let request = Request::post(format!("http://{address}{path}"))
            .header("content-type", "multipart/form-data; boundary=B")
            .body(Form { has_begun: false, left: Some(bytes) })
            .unwrap();
        let response = client.request(request).await.map_err(|error| assert!(!http2, "{error:?}"));
        let Ok(response) = response else { return None };
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let arrives = async |path: &str, http2: bool, bytes: u64| {
        let expected = format!("long {}", bytes + 24);
        assert_eq!(send(path, http2, bytes).await, Some((StatusCode::OK, expected)), "{path}");
    };
    let is_refused = async |path: &str, http2: bool| {
        // Over HTTP/1.1 the answer may be lost to the reset of a connection on which the client still sends (RFC 9112,
        // section 9.6).
        if let Some((status, _)) = send(path, http2, 10 << 30).await {
            assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        }
    };

    // What code, stacks and buffers take once everything has run.
    for http2 in [true, false] {
        arrives("/streamed", http2, 16 << 20).await;
        arrives("/stored", http2, 16 << 20).await;
        is_refused("/refused", http2).await;
        is_refused("/refused/stored", http2).await;
    }
    let before = resident();
    let mut most = before;
    for http2 in [true, false] {
        arrives("/streamed", http2, 512 << 20).await;
        most = most.max(resident());
        arrives("/stored", http2, 64 << 20).await;
        most = most.max(resident());
        for path in ["/refused", "/refused/stored"] {
            is_refused(path, http2).await;
            most = most.max(resident());
        }
    }
    let grown = most - before;
    assert!(grown < 8 << 20, "grown by {grown} bytes to {most}");
    assert!(most < 128 << 20, "{most} bytes");
}
