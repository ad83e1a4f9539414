//! Connections that are tracked: upgraded ones hold their slot and their place in the access log until they are closed, and
//! clients that do not read are cut off.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::Router;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use palisade::{
    Connection, ErrorLayer, PeerAddr, Policy, PolicyLayer, TrackUpgrades, TrackedIo,
    TrackedListener, TrackedPeer,
    body::Deadline,
    observe::Observe,
    rate_limit::{ByAddress, ConcurrencyLimit},
    stack,
    testing::Log,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, service_fn};

/// Answers an upgrade, and echoes on the upgraded connection until the client closes it.
async fn echo<B>(mut request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "echo");
    Ok(response.body(Full::default()).unwrap())
}

fn one_at_a_time() -> ConcurrencyLimit {
    ConcurrencyLimit::overall(1).per_key(ByAddress::default(), 1).build().unwrap()
}

macro_rules! guarded {
    ($limit:expr) => {
        stack().observe(Observe::new()).errors(ErrorLayer::new()).policy($limit.clone())
    };
}

async fn on_hyper(limit: &ConcurrencyLimit) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let guarded = guarded!(limit).wrap(service_fn(echo::<hyper::body::Incoming>));
    let guarded = TrackUpgrades::new().layer(guarded);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let stream = TrackedIo::new(stream);
            let connection: Connection = stream.connection();
            let service = PolicyLayer::new(PeerAddr(peer).then(connection)).layer(guarded.clone());
            let service = TowerToHyperService::new(service);
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    });
    address
}

async fn on_axum(limit: &ConcurrencyLimit) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new()
        .fallback_service(service_fn(echo::<axum::body::Body>))
        .layer(guarded!(limit))
        .layer(TrackUpgrades::new());
    let app = app.into_make_service_with_connect_info::<TrackedPeer>();
    tokio::spawn(async move { axum::serve(TrackedListener(listener), app).await });
    address
}

/// Asks for an upgrade and returns the connection and the status.
async fn upgrade(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let status = String::from_utf8_lossy(&head[9..12]).into_owned();
    (stream, status)
}

async fn check(address: SocketAddr, limit: ConcurrencyLimit) {
    let log = Log::of_this_thread(tracing::Level::INFO);
    let (mut socket, status) = upgrade(address).await;
    assert_eq!(status, "101");
    socket.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    socket.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping");

    assert_eq!(limit.in_flight(), 1, "the WebSocket holds its slot");
    assert_eq!(upgrade(address).await.1, "503");
    let events = |log: &Log| log.text().lines().filter(|line| line.contains("status=101")).count();
    assert_eq!(events(&log), 0, "it has not ended: {}", log.text());

    drop(socket);
    for _ in 0..500 {
        if limit.in_flight() == 0 && events(&log) == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(limit.in_flight(), 0, "it is closed");
    assert_eq!(events(&log), 1, "{}", log.text());
    assert_eq!(upgrade(address).await.1, "101");
}

#[tokio::test]
async fn websocket_on_hyper_is_tracked_until_it_is_closed() {
    let limit = one_at_a_time();
    check(on_hyper(&limit).await, limit).await;
}

#[tokio::test]
async fn websocket_on_axum_is_tracked_until_it_is_closed() {
    let limit = one_at_a_time();
    check(on_axum(&limit).await, limit).await;
}

#[tokio::test]
async fn slot_of_a_client_that_stops_reading_is_freed() {
    let limit = one_at_a_time();
    let endless = |_: Request<axum::body::Body>| async {
        let chunks = tokio_stream::iter(std::iter::repeat_with(|| {
            Ok::<_, Infallible>(Bytes::from_static(&[0; 65536]))
        }));
        Ok::<_, Infallible>(Response::new(axum::body::Body::from_stream(chunks)))
    };
    let deadline = Deadline::new(Duration::from_secs(10)).write_idle(Duration::from_millis(100));
    let guarded = stack().errors(ErrorLayer::new()).policy(limit.clone()).timeout(deadline);
    let app = Router::new().fallback_service(service_fn(endless)).layer(guarded);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<TrackedPeer>();
    tokio::spawn(async move { axum::serve(TrackedListener(listener), app).await });

    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    socket.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(limit.in_flight(), 1);
    // It keeps the socket open and reads nothing.
    for _ in 0..1000 {
        if limit.in_flight() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(limit.in_flight(), 0);
    drop(socket);
}
