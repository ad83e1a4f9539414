//! The route that is told of a request, by axum and by tonic; and a limit on trial, wherever decisions are shown.

mod refusing_greeter;

use std::net::SocketAddr;

use axum::{
    Router,
    routing::{any_service, get},
};
use http::{Method, Response, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use palisade::{
    ErrorLayer,
    observe::{Explain, Observe},
    rate_limit::{Quota, RateLimit},
    recorder::Recorder,
    stack,
};
use palisade_tests::Client;
use refusing_greeter::{
    AsAsked, greeter,
    greeter::{CountRequest, HelloRequest, ResetRequest, greeter_client::GreeterClient},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server};
use tower::service_fn;

/// What was kept of the last request, when its response is over.
async fn last(recorder: &Recorder, seen: &mut usize) -> Value {
    *seen += 1;
    for _ in 0..500 {
        let requests = recorder.json()["requests"].as_array().unwrap().clone();
        if requests.len() == *seen {
            return requests[0].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{seen} requests were not recorded")
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

#[tokio::test]
async fn nested_routes_report_the_full_template() {
    let recorder = Recorder::new();
    let ok = || get(async || "ok");
    let files = service_fn(async |_: http::Request<axum::body::Body>| {
        Ok::<_, std::convert::Infallible>(Response::new(axum::body::Body::empty()))
    });
    let items = Router::new()
        .route("/", ok())
        .route("/{id}/parts/{part}", ok())
        .fallback(async || StatusCode::IM_A_TEAPOT);
    let observed =
        stack().observe(Observe::new().report_to(recorder.reporter())).errors(ErrorLayer::new());
    let app = Router::new()
        .route("/", ok())
        .nest("/shops/{shop}/items", items)
        .merge(Router::new().route("/merged/{*rest}", ok()))
        .nest_service("/files", any_service(files))
        .route_service("/service/{name}", any_service(files))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(observed);
    let address = on_axum(app).await;
    let client = &Client::of_each_version(address)[0];
    let mut seen = 0;
    for (path, route) in [
        ("/", Some("/")),
        ("/shops/7/items", Some("/shops/{shop}/items")),
        ("/shops/7/items/8/parts/9", Some("/shops/{shop}/items/{id}/parts/{part}")),
        ("/merged/a/b/c", Some("/merged/{*rest}")),
        ("/service/a", Some("/service/{name}")),
        // who answers knows what there is, and does not say
        ("/files/a/b", None),
        ("/shops/7/items/8", None),
        ("/shops/7", None),
        ("/nowhere/a", None),
    ] {
        client.get(path, &[]).await;
        let told = last(&recorder, &mut seen).await;
        assert_eq!(told["route"], json!(route), "{told}");
    }
    client.call(Method::DELETE, "/shops/7/items", &[]).await;
    let told = last(&recorder, &mut seen).await;
    let expected = (&json!("/shops/{shop}/items"), &json!(405));
    assert_eq!((&told["route"], &told["status"]), expected, "the path is there");
}

#[tokio::test]
async fn grpc_method_is_its_template_if_it_exists() {
    let recorder = Recorder::new();
    let (listener, address) = listen().await;
    let observe = Observe::new().report_to(recorder.reporter());
    let guarded = stack().observe(observe).errors(ErrorLayer::new()).policy(AsAsked);
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = Server::builder().layer(guarded).add_service(greeter());
    tokio::spawn(server.serve_with_incoming(incoming));
    let endpoint = Endpoint::new(format!("http://{address}")).unwrap();
    let mut client = GreeterClient::new(endpoint.connect().await.unwrap());
    let [_, by_hand] = Client::of_each_version(address);
    let (hello, count) = (json!("/greeter.v1.Greeter/Hello"), json!("/greeter.v1.Greeter/Count"));
    let mut seen = 0;

    let refused = || {
        let mut request = tonic::Request::new(HelloRequest::default());
        request.metadata_mut().insert("x-refuse", "FORBIDDEN".parse().unwrap());
        request
    };
    let fields = ["content-type: application/grpc"];
    for path in ["/greeter.v1.Greeter/Nothing", "/another.Service/Hello", "/", "/a/b/c"] {
        by_hand.call(Method::POST, path, &fields).await;
        let told = last(&recorder, &mut seen).await;
        assert_eq!((&told["route"], &told["grpc_status"]), (&Value::Null, &json!("12")), "{told}");
    }
    client.hello(refused()).await.unwrap_err();
    assert_eq!(last(&recorder, &mut seen).await["route"], Value::Null, "nobody can tell yet");
    client.hello(HelloRequest::default()).await.unwrap();
    assert_eq!(last(&recorder, &mut seen).await["route"], hello);
    client.hello(refused()).await.unwrap_err();
    assert_eq!(last(&recorder, &mut seen).await["route"], hello, "and now it is known");

    let mut replies = client.count(CountRequest { to: 2 }).await.unwrap().into_inner();
    while replies.message().await.unwrap().is_some() {}
    assert_eq!(last(&recorder, &mut seen).await["route"], count, "by its trailers");
    client.reset(ResetRequest {}).await.unwrap_err();
    assert_eq!(last(&recorder, &mut seen).await["route"], Value::Null, "it has never succeeded");
}

#[tokio::test]
async fn call_that_fails_in_its_trailers_counts_as_a_failure() {
    let (listener, address) = listen().await;
    let quota = Quota::per(3, std::time::Duration::from_secs(3600)).exact_log();
    let limit = RateLimit::per_address(quota).only_failures().build().unwrap();
    let guarded = stack().errors(ErrorLayer::new()).rate_limit(&limit);
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = Server::builder().layer(guarded).add_service(greeter());
    tokio::spawn(server.serve_with_incoming(incoming));
    let endpoint = Endpoint::new(format!("http://{address}")).unwrap();
    let mut client = GreeterClient::new(endpoint.connect().await.unwrap());

    // what goes well is given back, when it is over
    for _ in 0..10 {
        client.hello(HelloRequest::default()).await.unwrap();
        let mut replies = client.count(CountRequest { to: 2 }).await.unwrap().into_inner();
        while replies.message().await.unwrap().is_some() {}
    }
    let failing = |name: &'static str| {
        let mut request = tonic::Request::new(CountRequest { to: 2 });
        request.metadata_mut().insert(name, "UNAUTHENTICATED".parse().unwrap());
        request
    };
    // at once, which is in the head; and after two messages, which is in the trailers
    assert!(client.count(failing("x-fail")).await.is_err());
    for _ in 0..2 {
        let mut replies = client.count(failing("x-fail-later")).await.unwrap().into_inner();
        let failed = loop {
            match replies.message().await {
                Ok(reply) => assert!(reply.is_some(), "it fails"),
                Err(status) => break status,
            }
        };
        assert_eq!(failed.code(), tonic::Code::Unauthenticated);
    }
    let limited = client.hello(HelloRequest::default()).await.unwrap_err();
    assert_eq!(limited.code(), tonic::Code::ResourceExhausted);
}

#[tokio::test]
async fn shadow_limit_appears_in_metrics_and_explanation() {
    let prometheus = PrometheusBuilder::new().install_recorder().unwrap();
    let recorder = Recorder::new();
    let observe = Observe::new()
        .metrics()
        .report_to(recorder.reporter())
        .explain(Explain::insecure_to_everybody());
    let quota = Quota::per(1, std::time::Duration::from_secs(3600));
    let limit = RateLimit::per_address(quota).shadow().build().unwrap();
    let guarded = stack().observe(observe).errors(ErrorLayer::new()).rate_limit(&limit);
    let address = on_axum(Router::new().route("/", get(async || "ok")).layer(guarded)).await;
    let client = &Client::of_each_version(address)[0];
    let mut seen = 0;
    for (outcome, explained) in [
        ("granted", "RateLimit=granted in shadow;"),
        ("refused", "RateLimit=refused(RATE_LIMITED) in shadow;"),
    ] {
        let answer = client.get("/", &[]).await;
        assert_eq!(answer.status, StatusCode::OK);
        let why = answer.header("x-palisade-explain").unwrap();
        assert!(why.starts_with(explained), "{why}");
        let told = last(&recorder, &mut seen).await;
        let policy = &told["policies"][0];
        assert_eq!((&policy["outcome"], &policy["shadow"]), (&json!(outcome), &json!(true)));
        let line = format!(
            "palisade_policy_decisions_total{{policy=\"RateLimit\",outcome=\"{outcome}\",shadow=\"true\"}} 1"
        );
        let metrics = prometheus.render();
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(recorder.html().contains("RateLimit=refused(RATE_LIMITED) in shadow"));
}
