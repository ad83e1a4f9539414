//! What clients see when a service breaks in the middle: handlers, policies and bodies that panic or fail.

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{Request, Version, request};
use http_body_util::{BodyExt, Full};
use palisade::{Decision, ErrorLayer, Policy, PolicyLayer};
use palisade_tests::Client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_stream::{Stream, StreamExt};

const SECRET: &str = "hunter2";

#[derive(Clone)]
struct PanicsIfAsked;

impl Policy for PanicsIfAsked {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        assert!(!request.headers.contains_key("x-panic"), "{SECRET}");
        Decision::grant(())
    }
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

type Then = fn() -> Result<Bytes, std::io::Error>;

/// A chunk, and what comes once the test has seen that one.
fn broken_after_one(go_on: Arc<Notify>, then: Then) -> Response {
    let chunks: Chunks = Box::pin(tokio_stream::iter(0..2).then(move |at| {
        let go_on = Arc::clone(&go_on);
        async move {
            if at == 0 {
                return Ok(Bytes::from_static(b"some "));
            }
            go_on.notified().await;
            then()
        }
    }));
    Body::from_stream(chunks).into_response()
}

/// A server, and what makes its bodies go on.
async fn start() -> (SocketAddr, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let broken = |then: Then| {
        let go_on = Arc::clone(&go_on);
        get(move || async move { broken_after_one(go_on, then) })
    };
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
    let app = Router::new()
        .route("/peer", get(peer))
        .route("/panics", get(|| async { panic!("{SECRET}") as () }))
        .route("/body-panics", broken(|| panic!("{SECRET}")))
        .route("/body-fails", broken(|| Err(std::io::Error::other(SECRET))))
        .layer(PolicyLayer::new(PanicsIfAsked))
        .layer(ErrorLayer::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, go_on)
}

#[tokio::test]
async fn fault_before_the_head_is_500_and_keeps_the_connection() {
    let (address, _) = start().await;
    for client in Client::of_each_version(address) {
        let before = client.get("/peer", &[]).await.text();
        for (path, fields) in [("/panics", &[][..]), ("/peer", &["x-panic: yes"])] {
            let answer = client.get(path, fields).await;
            assert_eq!(answer.status, 500, "{path}");
            assert_eq!(answer.json()["error"]["code"], "INTERNAL", "{path}");
            assert!(!format!("{answer:?}").contains(SECRET), "{path}");
        }
        assert_eq!(client.get("/peer", &[]).await.text(), before, "it is the same connection");
    }
}

#[tokio::test]
async fn fault_after_the_head_aborts_the_response() {
    let (address, go_on) = start().await;
    for path in ["/body-panics", "/body-fails"] {
        // over HTTP/1.1 the connection is all there is to break off
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"some \r\n") {
            assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "{path}");
        }
        go_on.notify_one();
        // a reset is as good an end as any
        let _ = connection.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.ends_with("0\r\n\r\n"), "{path} looks whole: {answer}");
        assert!(!answer.contains(SECRET) && !answer.contains("INTERNAL"), "{path}: {answer}");

        // over HTTP/2 it is the stream, and the others of the connection live
        let client = Client::new(address, Version::HTTP_2);
        let before = client.get("/peer", &[]).await.text();
        let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
        let (head, mut body) = client.start(request).await.into_parts();
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "some ");
        go_on.notify_one();
        assert!(body.collect().await.is_err(), "{path} looks whole");
        assert_eq!(client.get("/peer", &[]).await.text(), before, "it is the same connection");
    }
}
