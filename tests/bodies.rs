//! Limits on bodies and time, on real servers: bodies without a declared length whose handlers do as they please
//! (the three cases of CVE-2026-44456), on axum and on hyper, over HTTP/1.1 and HTTP/2.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::DefaultBodyLimit, middleware::from_fn, routing::post};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Channel, Full, combinators::UnsyncBoxBody};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use palisade::{
    BoxError, ErrorLayer,
    auth::Jwt,
    body::{BodyLimit, BoxedBody, ByteSize, Deadline, HeadLimits, MapRequestBody},
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack,
};
use palisade_tests::Client;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpListener};
use tower::service_fn;

/// The limit of every server here, in bytes.
const LIMIT: u64 = 16 * 1024;

type Answer = Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>;

fn whole(text: impl Into<Bytes>) -> Answer {
    Ok(Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()))
}

/// One handler for each way to treat a body.
async fn handle<B>(request: Request<B>) -> Answer
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let path = request.uri().path().to_owned();
    let mut body = request.into_body().map_err(Into::into);
    match &*path {
        "/never-reads" => whole("done"),
        "/reads-the-first-chunk" => {
            let _ = body.frame().await;
            whole("done")
        }
        "/catches-the-error" => {
            let outcome = body.collect().await;
            whole(if outcome.is_ok() { "read" } else { "never mind" })
        }
        "/echoes" => whole(body.collect().await?.to_bytes()),
        // answers before it has read
        "/streams" => Ok(Response::new(body.boxed_unsync())),
        other => panic!("there is no {other}"),
    }
}

macro_rules! limited {
    () => {
        stack()
            .observe(RequestIds::new())
            .errors(ErrorLayer::new())
            .timeout(Deadline::new(Duration::from_secs(30)))
            .body_limit(BodyLimit::new(LIMIT))
    };
}

async fn on_axum(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn handle_axum(request: Request<Body>) -> Response<Body> {
    match handle(request).await {
        Ok(response) => response.map(Body::new),
        Err(_) => Response::builder().status(500).body(Body::empty()).unwrap(),
    }
}

async fn axum_server() -> SocketAddr {
    on_axum(Router::new().fallback(handle_axum).layer(limited!())).await
}

async fn handle_boxed(request: Request<BoxedBody>) -> Answer {
    handle(request).await
}

async fn hyper_server() -> SocketAddr {
    let guarded =
        limited!().layer(MapRequestBody::new(BoxedBody::new)).wrap(service_fn(handle_boxed));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let guarded = guarded.clone();
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(guarded))
                    .await;
            });
        }
    });
    address
}

/// A body of unknown length.
fn streamed(bytes: u64) -> Channel<Bytes> {
    let (mut sender, body) = Channel::new(4);
    tokio::spawn(async move {
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(1000);
            left -= piece;
            if sender.send_data(Bytes::from(vec![b'x'; piece as usize])).await.is_err() {
                return;
            }
        }
    });
    body
}

#[tokio::test]
async fn cve_2026_44456_body_over_the_limit_is_413_for_any_handler() {
    for (host, address) in [("axum", axum_server().await), ("hyper", hyper_server().await)] {
        for (client, version) in Client::of_each_version(address).into_iter().zip(["1.1", "2"]) {
            for path in ["/never-reads", "/reads-the-first-chunk", "/catches-the-error", "/echoes"]
            {
                let post = async |bytes| {
                    client.send(Request::post(path).body(streamed(bytes)).unwrap()).await
                };
                let context = format!("{host} HTTP/{version} {path}");
                assert_eq!(post(LIMIT).await.status, StatusCode::OK, "{context}");
                let over = post(LIMIT + 1).await;
                assert_eq!(over.status, StatusCode::PAYLOAD_TOO_LARGE, "{context}");
                assert_eq!(over.error_code(), "PAYLOAD_TOO_LARGE", "{context}");
                let closes = over.header("connection") == Some("close");
                assert_eq!(closes, version == "1.1", "{context}");
                assert_eq!(post(10).await.status, StatusCode::OK, "{context}, and the next one");
            }
        }
    }
}

#[tokio::test]
async fn stream_is_aborted_over_the_limit_after_its_head() {
    for (host, address) in [("axum", axum_server().await), ("hyper", hyper_server().await)] {
        for (client, version) in Client::of_each_version(address).into_iter().zip(["1.1", "2"]) {
            let context = format!("{host} HTTP/{version}");
            let request = |bytes| Request::post("/streams").body(streamed(bytes)).unwrap();
            let whole = client.send(request(LIMIT)).await;
            assert_eq!(
                (whole.status, whole.body.len() as u64),
                (StatusCode::OK, LIMIT),
                "{context}"
            );
            let response = client.start(request(LIMIT + 1)).await;
            assert_eq!(response.status(), StatusCode::OK, "{context}");
            assert!(response.into_body().collect().await.is_err(), "{context}");
        }
    }
}

#[tokio::test]
async fn too_large_declared_length_is_rejected_before_100_continue() {
    for address in [axum_server().await, hyper_server().await] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /echoes HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            LIMIT + 1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("PAYLOAD_TOO_LARGE"), "and the connection is closed: {answer}");
    }
}

#[tokio::test]
async fn rejections_by_the_head_precede_100_continue() {
    let auth = Jwt::<serde_json::Value>::hs256("a secret of more than thirty-two bytes");
    let auth = auth.audience("bodies").build().unwrap();
    let limit = RateLimit::per_address(Quota::per(1, Duration::from_secs(3600))).build().unwrap();
    let layers = stack()
        .observe(RequestIds::new())
        .errors(ErrorLayer::new())
        .policy(HeadLimits::new().uri(100))
        .rate_limit(&limit)
        .auth(&auth)
        .body_limit(BodyLimit::new(LIMIT));
    let app = Router::new().fallback(handle_axum).layer(layers);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let ask = async |path: &str, fields: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\
             connection: close\r\n{fields}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    let long = format!("/{}", "a".repeat(100));
    assert_eq!(ask(&long, "").await, "414");
    assert_eq!(ask("/echoes", "").await, "401");
    assert_eq!(ask("/echoes", "").await, "429");
}

#[tokio::test]
async fn http_2_stream_is_reset_and_its_connection_stays_open() {
    for address in [axum_server().await, hyper_server().await] {
        let client = Client::new(address, Version::HTTP_2);
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        let request = Request::post("/echoes").header("content-length", 10 * LIMIT);
        let refused = client.send(request.body(body).unwrap()).await;
        assert_eq!(refused.error_code(), "PAYLOAD_TOO_LARGE");
        // the client stops: its body is dropped before its end
        while sender.send_data(Bytes::from_static(b"more")).await.is_ok() {}
        let next = client.send(Request::post("/echoes").body(streamed(10)).unwrap()).await;
        assert_eq!(next.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn upgraded_connection_outlives_the_deadline() {
    async fn upgrades(mut request: axum::extract::Request) -> Response<Body> {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut word = [0; 4];
            while stream.read_exact(&mut word).await.is_ok() {
                stream.write_all(&word).await.unwrap();
            }
        });
        let response = Response::builder().status(101).header("connection", "upgrade");
        response.header("upgrade", "echo").body(Body::empty()).unwrap()
    }
    let deadline = Duration::from_millis(100);
    let layers = stack()
        .errors(ErrorLayer::new())
        .timeout(Deadline::new(deadline).idle(deadline))
        .body_limit(BodyLimit::new(LIMIT));
    let address = on_axum(Router::new().fallback(upgrades).layer(layers)).await;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    tokio::time::sleep(3 * deadline).await;
    stream.write_all(b"ping").await.unwrap();
    let mut word = [0; 4];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
}

#[tokio::test]
async fn conflicting_lengths_cannot_exceed_the_limit() {
    for address in [axum_server().await, hyper_server().await] {
        let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", LIMIT + 1, "x".repeat(LIMIT as usize + 1));
        for (fields, expected) in [
            ("content-length: 4\r\ncontent-length: 5\r\n", &["400"][..]),
            // hyper either refuses both together or goes by the transfer coding
            ("content-length: 4\r\ntransfer-encoding: chunked\r\n", &["400", "413"]),
            ("transfer-encoding: chunked\r\n", &["413"]),
        ] {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let head = format!("POST /never-reads HTTP/1.1\r\nhost: a\r\n{fields}\r\n{chunk}");
            let _ = stream.write_all(head.as_bytes()).await;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            let status = std::str::from_utf8(&answer[9..]).unwrap();
            assert!(expected.contains(&status), "{fields}: {status}");
        }
    }
}

#[tokio::test]
async fn route_limit_overrides_the_outer_one_on_axum() {
    let reads = || post(async |body: Bytes| body.len().to_string());
    let app = Router::new()
        .route("/", reads())
        .route("/small", reads().layer(BodyLimit::new(ByteSize::kb(1))))
        .route("/upload", reads().layer(BodyLimit::new(ByteSize::mb(5))))
        .layer(
            stack()
                .observe(RequestIds::new())
                .errors(ErrorLayer::new())
                .body_limit(BodyLimit::new(LIMIT).overridable()),
        )
        .layer(DefaultBodyLimit::disable());
    let address = on_axum(app).await;
    for client in Client::of_each_version(address) {
        for (path, limit) in [("/", LIMIT), ("/small", 1024), ("/upload", 5 << 20)] {
            for (bytes, expected) in
                [(limit, StatusCode::OK), (limit + 1, StatusCode::PAYLOAD_TOO_LARGE)]
            {
                let body = Full::new(Bytes::from(vec![b'x'; bytes as usize]));
                let declared = client.send(Request::post(path).body(body).unwrap()).await;
                let request = Request::post(path).body(streamed(bytes)).unwrap();
                for answer in [declared, client.send(request).await] {
                    assert_eq!(answer.status, expected, "{path} {bytes}");
                }
            }
        }
    }
}

#[tokio::test]
async fn axum_extractors_get_the_error_without_an_error_layer() {
    // the extractor's own rejection, as the handler sees it
    let app = Router::new()
        .route(
            "/",
            post(|body: Result<Bytes, axum::extract::rejection::BytesRejection>| async {
                let rejection = body.expect_err("it is too long");
                assert_eq!(rejection.status(), StatusCode::PAYLOAD_TOO_LARGE);
                "swallowed"
            }),
        )
        .layer(BodyLimit::new(10));
    let client = Client::new(on_axum(app).await, Version::HTTP_11);
    let answer = client.send(Request::post("/").body(streamed(11)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn middleware_with_a_fixed_body_type_works_inside_limits() {
    async fn passes(
        request: axum::extract::Request,
        next: axum::middleware::Next,
    ) -> axum::response::Response {
        next.run(request).await
    }
    let layers = tower::ServiceBuilder::new()
        .layer(limited!())
        .layer(MapRequestBody::new(Body::new))
        .layer(from_fn(passes));
    let app = Router::new().fallback(handle_axum).layer(layers);
    let client = Client::new(on_axum(app).await, Version::HTTP_2);
    for (bytes, expected) in [(LIMIT, StatusCode::OK), (LIMIT + 1, StatusCode::PAYLOAD_TOO_LARGE)] {
        let request = Request::post("/catches-the-error").body(streamed(bytes)).unwrap();
        assert_eq!(client.send(request).await.status, expected);
    }
}

#[tokio::test]
async fn stalled_client_gets_408_and_slow_handler_504() {
    let slow = stack()
        .observe(RequestIds::new())
        .errors(ErrorLayer::new())
        .timeout(Deadline::new(Duration::from_millis(200)))
        .body_limit(BodyLimit::new(LIMIT));
    let app = Router::new()
        .route("/sleeps", post(async || std::future::pending::<()>().await))
        .fallback(handle_axum)
        .layer(slow);
    let address = on_axum(app).await;
    for client in Client::of_each_version(address) {
        let answer = client.post_json("/sleeps", "{}", &[]).await;
        assert_eq!(
            (answer.status, &*answer.error_code()),
            (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED")
        );
        for path in ["/echoes", "/never-reads"] {
            // held open, and never sent on
            let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
            sender.send_data(Bytes::from_static(b"half")).await.unwrap();
            let answer = client.send(Request::post(path).body(body).unwrap()).await;
            assert_eq!(
                (answer.status, &*answer.error_code()),
                (StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT"),
                "{path}"
            );
            drop(sender);
        }
    }
}

#[tokio::test]
async fn grpc_rejections_are_grpc_statuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .layer(limited!())
        .add_routes(tonic::service::Routes::default());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(server.serve_with_incoming(incoming));
    let client = Client::new(address, Version::HTTP_2);
    let request = Request::post("/a.B/C").header(header::CONTENT_TYPE, "application/grpc");
    let body = Full::new(Bytes::from(vec![0; LIMIT as usize + 1]));
    let refused = client.send(request.body(body).unwrap()).await;
    assert_eq!((refused.status, refused.header("grpc-status")), (StatusCode::OK, Some("8")));
}
