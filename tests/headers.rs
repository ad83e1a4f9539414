//! Security headers, caching, methods, HEAD and countries, on real servers with real clients.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::{
    rt::TokioExecutor, rt::TokioIo, server::conn::auto, service::TowerToHyperService,
};
use palisade::{
    ErrorLayer, PeerAddr, PolicyLayer, TrustedProxies, WithAuth,
    auth::Jwt,
    cors::Cors,
    headers::{CacheControl, Country, Geo, HeadFromGet, Methods, SecurityHeaders},
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack, unless,
};
use palisade_tests::{Answer, Client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, service_fn};

type Body = UnsyncBoxBody<Bytes, Infallible>;

const APP: &str = "https://app.example.com";

/// The headers of `SecurityHeaders::api`, but for HSTS.
const SECURITY: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
];

fn loopback() -> TrustedProxies {
    TrustedProxies::loopback().build().unwrap()
}

fn elsewhere() -> TrustedProxies {
    TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap()
}

fn cors() -> Cors {
    Cors::allow_origins([APP]).allow_methods([Method::DELETE]).build().unwrap()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A service without a router and without HEAD, which answers every request.
async fn answers<B>(request: Request<B>) -> Result<Response<Body>, Infallible> {
    let response = Response::builder().header("x-method", request.method().as_str());
    let response = match Country::from_extensions(request.extensions()) {
        Some(country) => response.header("x-country", country.code()),
        None => response,
    };
    let hello = || Full::new(Bytes::from("hello"));
    let body = match request.uri().path() {
        "/stream" => {
            let frames = ["hel", "lo"].map(|data| Ok(Frame::data(Bytes::from(data))));
            StreamBody::new(tokio_stream::iter(frames)).boxed_unsync()
        }
        "/own" => {
            return Ok(response
                .header("x-frame-options", "SAMEORIGIN")
                .header("cache-control", "max-age=1")
                .body(hello().boxed_unsync())
                .unwrap());
        }
        "/cookie" => {
            return Ok(response.header("set-cookie", "a=b").body(hello().boxed_unsync()).unwrap());
        }
        _ => hello().boxed_unsync(),
    };
    Ok(response.body(body).unwrap())
}

/// Everything around it, on plain hyper.
async fn on_hyper(proxies: &TrustedProxies) -> SocketAddr {
    let security = SecurityHeaders::api().https_by_proxy(proxies).build().unwrap();
    let cache = CacheControl::public().max_age(Duration::from_secs(60)).build().unwrap();
    let geo = Geo::deny(["KP"]).by_header("cf-ipcountry", proxies).build().unwrap();
    let methods = Methods::allow([Method::GET])
        .at("/orders/{id}", [Method::GET, Method::DELETE])
        .build()
        .unwrap();
    let guarded = stack()
        .client_ip(proxies)
        .observe(RequestIds::new())
        .errors(ErrorLayer::new())
        .security_headers(&security)
        .policy(cache)
        .cors(cors())
        .policy(unless(|request| request.uri.path() == "/health", geo))
        .policy(methods)
        .layer(HeadFromGet)
        .wrap(service_fn(answers));
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

fn has_security_headers(answer: &Answer) {
    for (name, value) in SECURITY {
        assert_eq!(answer.header(name), Some(value), "{name} of {answer:?}");
    }
}

const GERMAN: &str = "cf-ipcountry: DE";

#[tokio::test]
async fn every_hyper_response_has_its_headers() {
    let server = on_hyper(&loopback()).await;
    for client in Client::of_each_version(server) {
        let preflight =
            [GERMAN, "origin: https://app.example.com", "access-control-request-method: DELETE"];
        let foreign = ["origin: https://evil.example", "access-control-request-method: DELETE"];
        for (method, path, fields, status, cache_control, allow) in [
            ("GET", "/", &[GERMAN][..], 200, "public, max-age=60", None),
            ("HEAD", "/", &[GERMAN], 200, "public, max-age=60", None),
            ("GET", "/", &[GERMAN, "authorization: Bearer x"], 200, "private, no-store", None),
            ("GET", "/cookie", &[GERMAN], 200, "private, no-store", None),
            ("DELETE", "/orders/7", &[GERMAN], 200, "no-store", None),
            ("DELETE", "/orders", &[GERMAN], 405, "no-store", Some("GET, HEAD, OPTIONS")),
            (
                "OPTIONS",
                "/orders/7",
                &[GERMAN],
                204,
                "no-store",
                Some("GET, HEAD, DELETE, OPTIONS"),
            ),
            ("OPTIONS", "/orders/7", &preflight, 204, "no-store", None),
            ("OPTIONS", "/orders/7", &foreign, 403, "no-store", None),
            ("GET", "/", &["cf-ipcountry: KP"], 403, "no-store", None),
            ("GET", "/", &[], 403, "no-store", None),
            ("GET", "/health", &[], 200, "public, max-age=60", None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = client.call(method.clone(), path, fields).await;
            let what = format!("{method} {path} {fields:?}: {answer:?}");
            assert_eq!(answer.status.as_u16(), status, "{what}");
            assert_eq!(answer.header("cache-control"), Some(cache_control), "{what}");
            assert_eq!(answer.header("allow"), allow, "{what}");
            assert!(!answer.headers.contains_key("strict-transport-security"), "{what}");
            has_security_headers(&answer);
        }
        let refused = client.get("/", &["cf-ipcountry: KP"]).await;
        assert_eq!(refused.error_code(), "COUNTRY_NOT_ALLOWED");
    }
}

#[tokio::test]
async fn headers_of_the_service_are_unchanged() {
    let server = on_hyper(&loopback()).await;
    for client in Client::of_each_version(server) {
        let answer = client.get("/own", &[GERMAN]).await;
        assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"));
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'"));
        assert_eq!(answer.header("cache-control"), Some("max-age=1"));
    }
}

#[tokio::test]
async fn country_and_scheme_from_untrusted_peers_are_ignored() {
    for (proxies, status, country, hsts) in [
        (loopback(), StatusCode::OK, Some("DE"), Some("max-age=31536000; includeSubDomains")),
        (elsewhere(), StatusCode::FORBIDDEN, None, None),
    ] {
        let server = on_hyper(&proxies).await;
        for client in Client::of_each_version(server) {
            let answer = client.get("/", &[GERMAN, "x-forwarded-proto: https"]).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("x-country"), country);
            assert_eq!(answer.header("strict-transport-security"), hsts);
        }
    }
}

#[tokio::test]
async fn head_response_equals_get_without_the_body() {
    let server = on_hyper(&loopback()).await;
    for client in Client::of_each_version(server) {
        for (path, length) in [("/", Some("5")), ("/stream", None)] {
            let get = client.get(path, &[GERMAN]).await;
            let head = client.call(Method::HEAD, path, &[GERMAN, "range: bytes=0-1"]).await;
            assert_eq!((head.status, get.text().as_str()), (get.status, "hello"));
            assert_eq!(head.header("x-method"), Some("GET"));
            assert_eq!(head.header("content-length"), length, "{path}");
            assert!(head.body.is_empty());
            let names = |answer: &Answer| {
                let names = answer.headers.keys().map(|name| name.as_str().to_owned());
                let mut names: Vec<_> = names.filter(|it| it != "transfer-encoding").collect();
                names.sort_unstable();
                names
            };
            assert_eq!(names(&head), names(&get), "{path}");
        }
        // a refusal has no body either
        let refused = client.call(Method::HEAD, "/", &["cf-ipcountry: KP"]).await;
        assert_eq!((refused.status, refused.body.len()), (StatusCode::FORBIDDEN, 0));
    }
}

/// Reads the head of one response, and the body that its length announces if there is to be one.
async fn read_response(stream: &mut TcpStream, has_body: bool) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.unwrap();
        read.push(byte[0]);
    }
    let head = String::from_utf8(read).unwrap().to_ascii_lowercase();
    if has_body {
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(body, b"hello");
    }
    head
}

#[tokio::test]
async fn connection_stays_in_sync_after_head() {
    let server = on_hyper(&loopback()).await;
    let mut stream = TcpStream::connect(server).await.unwrap();
    for path in ["/", "/stream", "/"] {
        let ask = |method: &str, path: &str| {
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{GERMAN}\r\n\r\n")
        };
        // Both at once: a body that came after all would be taken for the next response.
        let both = ask("HEAD", path) + &ask("GET", "/");
        stream.write_all(both.as_bytes()).await.unwrap();
        let head = read_response(&mut stream, false).await;
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(head.contains("x-method: get\r\n"), "{head}");
        assert_eq!(head.contains("content-length: 5\r\n"), path == "/", "{head}");
        assert!(!head.contains("content-length: 0"), "{head}");
        let get = read_response(&mut stream, true).await;
        assert!(get.starts_with("http/1.1 200 ok\r\n"), "{get}");
    }
}

#[derive(serde::Deserialize)]
struct Claims {}

#[tokio::test]
async fn axum_rejections_carry_headers_and_routes_set_caching() {
    let security = SecurityHeaders::api().always_https().build().unwrap();
    let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes");
    let auth = auth.any_audience().build().unwrap();
    let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(3600))).build().unwrap();
    let minute = CacheControl::public().max_age(Duration::from_secs(60)).build().unwrap();
    let app = Router::new()
        .route("/catalogue", get(|| async { "hello" }).layer(minute.layer()))
        .route("/plain", get(|| async { "hello" }))
        .route("/profile", get(|| async { "hello" }).with_auth(&auth))
        .layer(
            stack()
                .observe(RequestIds::new())
                .errors(ErrorLayer::new())
                .security_headers(&security)
                .policy(CacheControl::new())
                .cors(cors())
                .rate_limit(&limit),
        );
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });
    for client in [Version::HTTP_11, Version::HTTP_2].map(|version| Client::new(address, version)) {
        for (method, path, status, cache_control) in [
            (Method::GET, "/catalogue", 200, Some("public, max-age=60")),
            (Method::HEAD, "/catalogue", 200, Some("public, max-age=60")),
            (Method::GET, "/plain", 200, None),
            (Method::GET, "/profile", 401, Some("no-store")),
            (Method::GET, "/nowhere", 404, Some("no-store")),
            (Method::DELETE, "/plain", 405, Some("no-store")),
        ] {
            let answer = client.call(method, path, &[]).await;
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
            assert_eq!(answer.header("cache-control"), cache_control, "{answer:?}");
            let hsts = answer.header("strict-transport-security");
            assert_eq!(hsts, Some("max-age=31536000; includeSubDomains"), "{answer:?}");
            has_security_headers(&answer);
        }
    }
}

#[tokio::test]
async fn cors_star_relaxes_the_resource_policy() {
    let security = SecurityHeaders::api().build().unwrap();
    let open = Cors::builder().any_origin().build().unwrap();
    let app = Router::new().route("/logo.svg", get(|| async { "<svg/>" }));
    let app = app.layer(stack().security_headers(&security).cors(&open));
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    for client in Client::of_each_version(address) {
        let answer = client.get("/logo.svg", &[]).await;
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(answer.text(), "<svg/>");
    }
}
