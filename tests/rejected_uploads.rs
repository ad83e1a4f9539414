//! Clients that are still sending a body when their request is rejected receive the response, also over HTTP/1.1, where
//! a server that closes the connection at once resets it.

use std::{convert::Infallible, net::SocketAddr, process::Command, time::Duration};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use palisade::{
    ErrorLayer, PeerAddr, PolicyLayer,
    auth::Jwt,
    body::{BodyLimit, Deadline},
    rate_limit::{Quota, RateLimit},
    stack,
    webhook::Webhook,
};
use palisade_tests::installed;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, service_fn};

const SECRET: &str = "a signing key of at least thirty-two bytes";

fn nobody_passes() -> RateLimit {
    RateLimit::per_address(Quota::per(0, Duration::from_secs(60))).build().unwrap()
}

async fn on_axum() -> SocketAddr {
    let auth = Jwt::<Value>::hs256(SECRET).audience("orders").build().unwrap();
    let handler = || post(async |_: Body| "read");
    let limited = stack()
        .errors(ErrorLayer::new())
        .timeout(Deadline::new(Duration::from_secs(30)))
        .body_limit(BodyLimit::new(1024));
    let app = Router::new()
        .route(
            "/limited",
            handler().layer(stack().errors(ErrorLayer::new()).rate_limit(nobody_passes())),
        )
        .route("/alone", handler().layer(nobody_passes().layer()))
        .route("/unauthenticated", handler().layer(stack().errors(ErrorLayer::new()).auth(&auth)))
        .route("/too-large", handler().layer(limited))
        .route(
            "/unsigned",
            handler().layer(Webhook::stripe("whsec_a secret of enough bytes").build().unwrap()),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn on_hyper() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hello = service_fn(async |_: Request<hyper::body::Incoming>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("read")))
    });
    let guarded = stack().errors(ErrorLayer::new()).rate_limit(nobody_passes()).wrap(hello);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let service = PolicyLayer::new(PeerAddr(peer)).layer(guarded.clone());
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            tokio::spawn(connection);
        }
    });
    address
}

/// Returns how often Node's fetch saw which response, by path.
fn node(address: SocketAddr, paths: &[&str]) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/rejected_uploads.mjs");
    let output = Command::new("node")
        .arg(script)
        .arg(format!("http://{address}"))
        .args(paths)
        .output()
        .expect("node starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&printed)
        .unwrap_or_else(|_| panic!("{printed}{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn node_fetch_receives_each_rejection_of_a_20_mb_body() {
    if !installed(&["node"]) {
        return;
    }
    let address = on_axum().await;
    let paths = ["/limited", "/alone", "/unauthenticated", "/too-large", "/unsigned"];
    let seen = tokio::task::spawn_blocking(move || node(address, &paths)).await.unwrap();
    for (path, response) in [
        ("/limited", "429 RATE_LIMITED"),
        ("/alone", "429 RATE_LIMITED"),
        ("/unauthenticated", "401 UNAUTHENTICATED"),
        ("/too-large", "413 PAYLOAD_TOO_LARGE"),
        ("/unsigned", "401 UNAUTHENTICATED"),
    ] {
        assert_eq!(seen[path], json!({ response: 25 }), "{path}: {seen:#}");
        assert_eq!(seen[format!("{path} streamed")], json!({ response: 25 }), "{path}: {seen:#}");
    }

    let address = on_hyper().await;
    let seen = tokio::task::spawn_blocking(move || node(address, &["/"])).await.unwrap();
    assert_eq!(seen["/"], json!({ "429 RATE_LIMITED": 25 }), "{seen:#}");
}

/// A client that never stops sending is cut off at the bound, and not before it has the response.
#[tokio::test]
async fn endless_body_is_cut_off_at_the_bound() {
    let address = on_axum().await;
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let head = "POST /alone HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    writer.write_all(head.as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move {
        let mut chunk = b"10000\r\n".to_vec();
        chunk.extend([b'x'; 0x10000]);
        chunk.extend(b"\r\n");
        let mut sent = 0_u64;
        while writer.write_all(&chunk).await.is_ok() {
            sent += 0x10000;
            assert!(sent < 256 * 1024 * 1024, "the server reads without end");
        }
        sent
    });
    let mut response = [0; 12];
    reader.read_exact(&mut response).await.unwrap();
    assert_eq!(&response, b"HTTP/1.1 429");
    let sent = sending.await.unwrap();
    assert!(sent >= 32 * 1024 * 1024, "cut off after {sent} bytes");
}
