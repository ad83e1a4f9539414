//! A policy that panics behind `security_headers` and `cors`, on each host: the client gets a 500 that pages can read.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, request, response,
};
use http_body_util::Full;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use palisade::{
    ApiError, Decision, ErrorLayer, PeerAddr, Policy,
    cors::Cors,
    headers::{CacheControl, SecurityHeaders},
    observe::{Observe, RequestIds},
    rate_limit::{Quota, QuotaHeaders, RateLimit},
    stack, when,
};
use palisade_tests::Client;
use tokio::net::TcpListener;
use tower::{ServiceExt, service_fn};

const SECRET: &str = "hunter2";
const APP: &str = "https://app.example.com";
const STEPS: [&str; 6] = ["decide", "later", "poll", "admit", "finish", "predicate"];

/// Panics at the step that the request names.
#[derive(Clone)]
struct PanicsAt;

impl Policy for PanicsAt {
    type Grant = String;

    fn decide(&self, request: &request::Parts) -> Decision<String> {
        let at = request.headers.get("x-panic").map_or("", |at| at.to_str().unwrap()).to_owned();
        assert!(at != "decide", "{SECRET}");
        match &*at {
            "later" => Decision::later(async { panic!("{SECRET}") }),
            "poll" => Decision::later(async {
                tokio::task::yield_now().await;
                panic!("{SECRET}")
            }),
            _ => Decision::grant(at),
        }
    }

    fn admit(&self, at: &mut String, _: &mut request::Parts) {
        assert!(at != "admit", "{SECRET}");
    }

    fn finish(&self, at: String, _: &mut response::Parts) {
        assert!(at != "finish", "{SECRET}");
    }
}

/// Refuses what a predicate selects, and the predicate panics if the request says so.
fn predicate() -> impl Policy + Clone {
    #[derive(Clone)]
    struct Refuses;
    impl Policy for Refuses {
        type Grant = ();
        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::refuse(ApiError::forbidden())
        }
    }
    let selects = |request: &request::Parts| {
        let at = request.headers.get("x-panic");
        assert!(at.is_none_or(|at| at != "predicate"), "{SECRET}");
        false
    };
    when(selects, Refuses)
}

macro_rules! guarded {
    () => {
        stack()
            .observe(RequestIds::new())
            .errors(ErrorLayer::new())
            .security_headers(&SecurityHeaders::api().build().unwrap())
            .cors(&Cors::allow_origins([APP]).build().unwrap())
            .policy(predicate())
            .policy(PanicsAt)
    };
}

#[tokio::test]
async fn full_header_map_panics_in_no_layer() {
    let limit = |headers| {
        let quota = Quota::per(1_000, Duration::from_secs(60));
        RateLimit::per_address(quota).headers(headers).build().unwrap()
    };
    let peer = PeerAddr(([192, 0, 2, 1], 4000).into());
    for room in 0..20 {
        for format in [
            QuotaHeaders::Draft10,
            QuotaHeaders::Draft7,
            QuotaHeaders::Draft6,
            QuotaHeaders::XRateLimit,
        ] {
            let full = move |number: usize| HeaderName::try_from(format!("x-{number}")).unwrap();
            let service = stack()
                .observe(Observe::new())
                .errors(ErrorLayer::new().negotiated())
                .security_headers(SecurityHeaders::pages().always_https().build().unwrap())
                .cors(Cors::allow_origins([APP]).allow_credentials(true).build().unwrap())
                .policy(limit(format))
                .policy(CacheControl::new())
                .wrap(service_fn(move |_: Request<Full<Bytes>>| async move {
                    let names = (0..24_576 - room).map(full);
                    let mut response = Response::new(Full::<Bytes>::from("hello"));
                    *response.headers_mut() =
                        names.map(|name| (name, HeaderValue::from_static("1"))).collect();
                    Ok::<_, Infallible>(response)
                }));
            let request = Request::get("/").header("origin", APP).extension(peer);
            let request = request.body(Full::default()).unwrap();
            let response = service.oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{room}");
            assert!(response.headers().len() >= 24_576 - room, "{room}");
        }
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn has_outer_headers(headers: &http::HeaderMap, at: &str) {
    for (name, value) in [
        ("access-control-allow-origin", APP),
        ("vary", "Origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{at}");
    }
    assert!(headers.contains_key("x-request-id"), "{at}");
}

async fn panics_are_readable_500s_at(address: SocketAddr) {
    for client in Client::of_each_version(address) {
        for at in STEPS {
            let field = format!("x-panic: {at}");
            let answer = client.get("/", &[&field, &format!("origin: {APP}")]).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{at}");
            assert_eq!(answer.error_code(), "INTERNAL", "{at}");
            let id = answer.header("x-request-id").unwrap();
            assert_eq!(answer.json()["error"]["request_id"], id, "{at}");
            assert!(!format!("{answer:?}").contains(SECRET), "{at}");
            has_outer_headers(&answer.headers, at);
        }
        assert_eq!(
            client.get("/", &[]).await.text(),
            "hello",
            "the connection and the server live"
        );
    }
}

#[tokio::test]
async fn policy_panic_is_a_500_with_cors_headers_on_axum() {
    let app = Router::new().route("/", get(|| async { "hello" })).layer(guarded!());
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    panics_are_readable_500s_at(address).await;
}

#[tokio::test]
async fn policy_panic_is_a_500_with_cors_headers_on_hyper() {
    let service = guarded!().wrap(service_fn(async |_: Request<_>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello")))
    }));
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    panics_are_readable_500s_at(address).await;
}

#[tokio::test]
async fn policy_panic_is_internal_on_tonic() {
    let (listener, address) = listen().await;
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder()
        .layer(guarded!())
        .add_routes(tonic::service::Routes::default());
    tokio::spawn(server.serve_with_incoming(incoming));
    let client = Client::new(address, Version::HTTP_2);
    let grpc = "content-type: application/grpc";
    let origin = format!("origin: {APP}");
    for at in STEPS {
        let field = format!("x-panic: {at}");
        let answer = client.call(Method::POST, "/a.B/C", &[grpc, &field, &origin]).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (StatusCode::OK, Some("13")));
        assert!(!format!("{answer:?}").contains(SECRET), "{at}");
        has_outer_headers(&answer.headers, at);
    }
    let passes = client.call(Method::POST, "/a.B/C", &[grpc]).await;
    assert_eq!(passes.header("grpc-status"), Some("12"), "no such method");
}
