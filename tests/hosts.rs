//! One stack on three hosts: decisions that come later, many requests at once, and a server that was not told to
//! leave its clients' addresses.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, request, response};
use http_body_util::Full;
use hyper_util::{
    rt::TokioExecutor, rt::TokioIo, server::conn::auto, service::TowerToHyperService,
};
use palisade::{
    ApiError, Decision, ErrorLayer, Issue, PeerAddr, Policy, PolicyLayer,
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack,
    testing::Deferred,
};
use palisade_tests::Client;
use tokio::net::TcpListener;
use tower::{Layer, service_fn};

/// Allows requests with the password, and marks the response.
#[derive(Clone)]
struct Word;

impl Policy for Word {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        if request.headers.contains_key("x-word") {
            Decision::grant(())
        } else {
            Decision::refuse(ApiError::forbidden())
        }
    }

    fn finish(&self, (): (), response: &mut response::Parts) {
        response.headers.insert("x-knew-the-word", HeaderValue::from_static("1"));
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn on_axum(app: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });
    address
}

/// A policy that takes three polls to decide, between two that decide at once.
macro_rules! deferred_stack {
    () => {
        stack()
            .observe(RequestIds::new())
            .errors(ErrorLayer::new())
            .policy(())
            .policy(Arc::new(Deferred::new(Word, 3)))
            .policy(())
    };
}

async fn later_decisions_work_at(address: SocketAddr) {
    for client in Client::of_each_version(address) {
        let passes = client.get("/", &["x-word: 1"]).await;
        assert_eq!((passes.status, passes.text()), (StatusCode::OK, "hello".to_owned()));
        assert_eq!(passes.header("x-knew-the-word"), Some("1"));
        let refused = client.get("/", &[]).await;
        assert_eq!((refused.status, &*refused.error_code()), (StatusCode::FORBIDDEN, "FORBIDDEN"));
    }
}

#[tokio::test]
async fn deferred_decisions_work_on_axum() {
    let app = Router::new().route("/", get(|| async { "hello" })).layer(deferred_stack!());
    later_decisions_work_at(on_axum(app).await).await;
}

async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

#[tokio::test]
async fn deferred_decisions_work_on_hyper() {
    let guarded = deferred_stack!().wrap(service_fn(hello));
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
    later_decisions_work_at(address).await;
}

#[tokio::test]
async fn deferred_decisions_work_on_tonic() {
    // tonic's router answers what it does not know with UNIMPLEMENTED: the stack decides before that.
    let (listener, address) = listen().await;
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder()
        .layer(deferred_stack!())
        .add_routes(tonic::service::Routes::default());
    tokio::spawn(server.serve_with_incoming(incoming));
    let client = Client::new(address, Version::HTTP_2);
    let grpc = "content-type: application/grpc";
    let refused = client.call(Method::POST, "/a.B/C", &[grpc]).await;
    assert_eq!((refused.status, refused.header("grpc-status")), (StatusCode::OK, Some("7")));
    let passes = client.call(Method::POST, "/a.B/C", &[grpc, "x-word: 1"]).await;
    assert_eq!((passes.status, passes.header("grpc-status")), (StatusCode::OK, Some("12")));
    assert_eq!(passes.header("x-knew-the-word"), Some("1"));
}

#[tokio::test]
async fn grpc_client_receives_all_issues() {
    use tonic_types::StatusExt;
    #[derive(Clone)]
    struct Invalid;
    impl Policy for Invalid {
        type Grant = ();
        fn decide(&self, _: &request::Parts) -> Decision<()> {
            let issue = |at: usize| Issue::new(format!("items[{at}].price"), "too_small", "no");
            Decision::refuse(ApiError::validation((0..1_000).map(issue)))
        }
    }
    let (listener, address) = listen().await;
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder()
        .layer(stack().errors(ErrorLayer::new()).policy(Invalid))
        .add_routes(tonic::service::Routes::default());
    tokio::spawn(server.serve_with_incoming(incoming));
    let grpc = "content-type: application/grpc";
    let answer = Client::new(address, Version::HTTP_2).call(Method::POST, "/a.B/C", &[grpc]).await;
    let status = tonic::Status::from_header_map(&answer.headers).expect("a status");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("a BadRequest").field_violations;
    assert_eq!((&*violations[0].field, &*violations[0].description), ("items[0].price", "no"));
    assert!(violations.len() > 10, "as many as a header can hold");
    let bytes: usize = answer.headers.values().map(HeaderValue::len).sum();
    assert!(bytes < 8 * 1024, "{bytes} bytes of headers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_100_of_1000_concurrent_requests_pass() {
    let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(3600))).build().unwrap();
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .layer(stack().errors(ErrorLayer::new()).rate_limit(&limit));
    let client = Client::new(on_axum(app).await, Version::HTTP_2);
    let requests: Vec<_> = (0..1_000)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/", &[]).await.status })
        })
        .collect();
    let mut passed = 0;
    for request in requests {
        match request.await.unwrap() {
            StatusCode::OK => passed += 1,
            status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert_eq!(passed, 100);
}

#[tokio::test]
async fn missing_peer_address_is_500() {
    let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build().unwrap();
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .layer(stack().errors(ErrorLayer::new()).rate_limit(&limit));
    let (listener, address) = listen().await;
    // without `into_make_service_with_connect_info`
    tokio::spawn(async move { axum::serve(listener, app).await });
    let answer = Client::new(address, Version::HTTP_11).get("/", &[]).await;
    assert_eq!(
        (answer.status, &*answer.error_code()),
        (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
    );
}
