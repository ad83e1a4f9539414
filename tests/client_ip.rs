//! Who the client is behind proxies, on real servers: a client that forges the headers of proxies, from a peer that is
//! trusted and from one that is not.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, request, response};
use http_body_util::Full;
use hyper_util::{
    rt::TokioExecutor, rt::TokioIo, server::conn::auto, service::TowerToHyperService,
};
use palisade::{
    ClientIp, Decision, ErrorLayer, PeerAddr, Policy, PolicyLayer, RequestId, TrustedProxies,
    UnixPeer,
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack,
};
use palisade_tests::{Answer, Client};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};

/// Says on the response whom it took for the client.
#[derive(Clone)]
struct WhoIsThat;

impl Policy for WhoIsThat {
    type Grant = Option<ClientIp>;

    fn decide(&self, _: &request::Parts) -> Decision<Option<ClientIp>> {
        Decision::grant(None)
    }

    fn admit(&self, client: &mut Option<ClientIp>, request: &mut request::Parts) {
        *client = ClientIp::from_extensions(&request.extensions);
    }

    fn finish(&self, client: Option<ClientIp>, response: &mut response::Parts) {
        let client = client.map_or_else(|| "nobody".to_owned(), |client| client.to_string());
        response.headers.insert("x-client-ip", HeaderValue::from_str(&client).unwrap());
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn on_axum(proxies: &TrustedProxies) -> SocketAddr {
    let app = Router::new()
        .route("/a.B/C", get(|| async {}).post(|| async {}))
        .layer(stack().client_ip(proxies).policy(WhoIsThat));
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });
    address
}

async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

async fn on_hyper(proxies: &TrustedProxies) -> SocketAddr {
    let guarded = stack().client_ip(proxies).policy(WhoIsThat).wrap(service_fn(hello));
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let service = PolicyLayer::new(PeerAddr(peer)).layer(guarded.clone());
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
                    .await;
            });
        }
    });
    address
}

async fn on_tonic(proxies: &TrustedProxies) -> SocketAddr {
    let (listener, address) = listen().await;
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder()
        .layer(stack().client_ip(proxies).policy(WhoIsThat))
        .add_routes(tonic::service::Routes::default());
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

async fn on_each_host(proxies: &TrustedProxies) -> [SocketAddr; 3] {
    [on_axum(proxies).await, on_hyper(proxies).await, on_tonic(proxies).await]
}

/// A client that writes `fields`, and is at 127.0.0.1.
async fn taken_for(server: SocketAddr, fields: &[&str]) -> String {
    let mut all = vec!["content-type: application/grpc"];
    all.extend(fields);
    // HTTP/2, which tonic asks for.
    let answer = Client::new(server, Version::HTTP_2).call(Method::POST, "/a.B/C", &all).await;
    answer.header("x-client-ip").unwrap_or_default().to_owned()
}

#[tokio::test]
async fn trusted_proxy_entry_is_used_and_client_entries_are_not() {
    let proxies = TrustedProxies::loopback().networks(["10.0.0.0/8"]).build().unwrap();
    for server in on_each_host(&proxies).await {
        for (fields, client) in [
            (&["x-forwarded-for: 203.0.113.7"][..], "203.0.113.7"),
            (&["x-forwarded-for: 192.0.2.66, 203.0.113.7"], "203.0.113.7"),
            (&["x-forwarded-for: 127.0.0.1, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            (&["x-forwarded-for: 192.0.2.66", "x-forwarded-for: 203.0.113.7"], "203.0.113.7"),
            (&["x-forwarded-for: [2001:db8::7]:4711"], "2001:db8::7"),
            (&["x-forwarded-for: ::ffff:cb00:7107"], "203.0.113.7"),
            (&["x-forwarded-for: 192.0.2.66, unknown"], "127.0.0.1"),
            (&["forwarded: for=192.0.2.66", "x-real-ip: 192.0.2.66"], "127.0.0.1"),
            (&[], "127.0.0.1"),
        ] {
            assert_eq!(taken_for(server, fields).await, client, "{fields:?}");
        }
    }
}

#[tokio::test]
async fn untrusted_peer_is_the_client_for_any_headers() {
    let everything = [
        "x-forwarded-for: 192.0.2.66, 10.0.0.1",
        "forwarded: for=192.0.2.66, for=10.0.0.1",
        "x-real-ip: 192.0.2.66",
    ];
    for proxies in [
        TrustedProxies::networks(["10.0.0.0/8", "192.0.2.66"]),
        TrustedProxies::networks(["10.0.0.0/8"]).forwarded(),
        TrustedProxies::hops(1).networks(["10.0.0.0/8"]),
        TrustedProxies::header("x-real-ip").networks(["10.0.0.0/8"]),
    ] {
        for server in on_each_host(&proxies.build().unwrap()).await {
            assert_eq!(taken_for(server, &everything).await, "127.0.0.1");
        }
    }
}

#[tokio::test]
async fn each_model_finds_the_client_on_each_host() {
    let fields = [
        "x-forwarded-for: 192.0.2.66, 203.0.113.7, 10.0.0.2",
        "forwarded: for=192.0.2.66, for=\"[2001:db8::7]:4711\";proto=https, for=10.0.0.2",
        "x-real-ip: 203.0.113.9",
    ];
    for (proxies, client) in [
        (TrustedProxies::loopback().private_networks(), "203.0.113.7"),
        (TrustedProxies::loopback().private_networks().forwarded(), "2001:db8::7"),
        (TrustedProxies::hops(2), "203.0.113.7"),
        (TrustedProxies::hops(2).forwarded(), "2001:db8::7"),
        (TrustedProxies::hops(4), "127.0.0.1"),
        (TrustedProxies::header("x-real-ip").loopback(), "203.0.113.9"),
    ] {
        for server in on_each_host(&proxies.build().unwrap()).await {
            assert_eq!(taken_for(server, &fields).await, client);
        }
    }
}

async fn statuses(server: SocketAddr, clients: &[&str]) -> Vec<StatusCode> {
    let mut statuses = Vec::new();
    for client in clients {
        let field = format!("x-forwarded-for: {client}");
        let answer: Answer = Client::new(server, Version::HTTP_11).get("/", &[&field]).await;
        statuses.push(answer.status);
    }
    statuses
}

#[tokio::test]
async fn clients_behind_a_proxy_are_limited_separately() {
    const PASSES: StatusCode = StatusCode::OK;
    const LIMITED: StatusCode = StatusCode::TOO_MANY_REQUESTS;
    let limited = async |proxies: Option<TrustedProxies>| {
        let quota = Quota::per(1, Duration::from_secs(3600));
        let limit = RateLimit::per_address(quota).build().unwrap();
        let app = Router::new().route("/", get(|| async { "hello" }));
        let app = match proxies {
            Some(proxies) => {
                let errors = ErrorLayer::new();
                app.layer(stack().client_ip(&proxies).errors(errors).rate_limit(&limit))
            }
            None => app.layer(stack().errors(ErrorLayer::new()).rate_limit(&limit)),
        };
        let (listener, address) = listen().await;
        tokio::spawn(async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        });
        address
    };

    let behind_proxy = limited(Some(TrustedProxies::loopback().build().unwrap())).await;
    let clients = ["203.0.113.7", "203.0.113.8", "192.0.2.66, 203.0.113.7", "::ffff:203.0.113.8"];
    assert_eq!(statuses(behind_proxy, &clients).await, [PASSES, PASSES, LIMITED, LIMITED]);

    let clients = ["203.0.113.7", "203.0.113.8"];
    let nobody_trusted = limited(None).await;
    assert_eq!(statuses(nobody_trusted, &clients).await, [PASSES, LIMITED]);
    let elsewhere = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
    assert_eq!(statuses(limited(Some(elsewhere)).await, &clients).await, [PASSES, LIMITED]);
}

#[cfg(unix)]
mod unix {
    use http_body_util::Empty;
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    async fn taken_for(listener: UnixListener, proxies: TrustedProxies, says_so: bool) -> String {
        let path = listener.local_addr().unwrap().as_pathname().unwrap().to_owned();
        let app = Router::new().route("/", get(|| async {}));
        let guarded = stack().client_ip(&proxies).policy(WhoIsThat);
        let app = app.layer(guarded);
        let app = if says_so { app.layer(PolicyLayer::new(UnixPeer)) } else { app };
        tokio::spawn(async move { axum::serve(listener, app).await });

        let stream = TokioIo::new(UnixStream::connect(path).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/")
            .header("host", "localhost")
            .header("x-forwarded-for", "192.0.2.66, 203.0.113.7")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        response.headers()["x-client-ip"].to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn unix_socket_proxy_is_trusted_only_if_configured() {
        let folder = std::env::temp_dir().join(format!("palisade-unix-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let listen = |name: &str| {
            let path = folder.join(name);
            let _ = std::fs::remove_file(&path);
            UnixListener::bind(path).unwrap()
        };
        let trusting = || TrustedProxies::unix_sockets().build().unwrap();
        let other = TrustedProxies::hops(1).build().unwrap();
        assert_eq!(taken_for(listen("a"), trusting(), true).await, "203.0.113.7");
        assert_eq!(taken_for(listen("b"), trusting(), false).await, "nobody");
        assert_eq!(taken_for(listen("c"), other, true).await, "nobody");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn tonic_reports_unix_socket_peers() {
        let folder = std::env::temp_dir().join(format!("palisade-uds-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("tonic");
        let _ = std::fs::remove_file(&path);
        let incoming =
            tokio_stream::wrappers::UnixListenerStream::new(UnixListener::bind(&path).unwrap());
        let proxies = TrustedProxies::unix_sockets().build().unwrap();
        let server = tonic::transport::Server::builder()
            .layer(stack().client_ip(&proxies).policy(WhoIsThat))
            .add_routes(tonic::service::Routes::default());
        tokio::spawn(server.serve_with_incoming(incoming));

        let stream = TokioIo::new(UnixStream::connect(path).await.unwrap());
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://localhost/a.B/C")
            .header("content-type", "application/grpc")
            .header("x-forwarded-for", "192.0.2.66, 203.0.113.7")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.headers()["x-client-ip"], "203.0.113.7");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn axum_handlers_take_the_client_and_the_request_id() {
    let handler = async |client: ClientIp, id: RequestId| format!("{client} {}", id.as_str());
    let router = Router::new().route("/", get(handler));
    let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
    let observed = router.clone().layer(stack().client_ip(&proxies).observe(RequestIds::new()));
    let request = || {
        let peer = PeerAddr(([10, 0, 0, 2], 4000).into());
        let request = Request::get("/").header("x-forwarded-for", "192.0.2.1").extension(peer);
        request.header("x-request-id", "req-42").body(axum::body::Body::empty()).unwrap()
    };
    let response = observed.oneshot(request()).await.unwrap();
    let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
    assert_eq!(body, "192.0.2.1 req-42");

    // without a policy that gives ids, and without an address
    assert_eq!(router.clone().oneshot(request()).await.unwrap().status(), 500);
    let unknown = Request::get("/").body(axum::body::Body::empty()).unwrap();
    let unknown = router.layer(stack().observe(RequestIds::new())).oneshot(unknown);
    assert_eq!(unknown.await.unwrap().status(), 500);
}
