//! What a tonic client sees of each code: refused by a policy, by a method, and in the middle of a stream.

use crate::refusing_greeter::{
    MUCH, WAIT,
    greeter::{CountRequest, HelloRequest, ResetRequest, greeter_client::GreeterClient},
    start,
};
use palisade::catalogue;
use tonic::{Code, Request, Status, transport::Endpoint};
use tonic_types::StatusExt;

fn asking<T>(name: &'static str, code: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(name, code.parse().unwrap());
    request
}

/// How far the answer had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    AtOnce,
    InMidStream,
}

fn check(status: &Status, entry: palisade::CatalogueEntry, when: When) {
    let code = entry.code;
    let told = (status.code() as i32, status.message());
    assert_eq!(told, (code.grpc as i32, code.message), "{} {when:?}", code.code);
    assert!(!format!("{:?}{:?}", status.metadata(), status.details()).contains("hunter2"));
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, code.code);
    if when == When::AtOnce {
        // what a stream says at its end, it says without knowing whom it answers
        assert_eq!(details.error_info().unwrap().domain, "greeter.v1.Greeter");
        let id = status.metadata().get("x-request-id").unwrap();
        assert_eq!(id, &*details.request_info().unwrap().request_id);
    }
    let waits = ["RATE_LIMITED", "UNAVAILABLE"].contains(&code.code);
    let delay = details.retry_info().and_then(|advice| advice.retry_delay);
    assert_eq!(delay, waits.then_some(WAIT));
    for (name, value) in [("grpc-retry-pushback-ms", "1500"), ("retry-after", "2")] {
        let told = status.metadata().get(name).map(|told| told.to_str().unwrap());
        assert_eq!(told, waits.then_some(value), "{} {name}", code.code);
    }
    let violations = details.quota_failure().map(|quota| quota.violations[0].quota_id.clone());
    assert_eq!(violations.as_deref(), (code.code == "RATE_LIMITED").then_some("daily"));
    let fields = details.bad_request().map(|bad| bad.field_violations[0].field.clone());
    assert_eq!(fields.as_deref(), (code.code == "VALIDATION_ERROR").then_some("items[0].price"));
    let challenge = status.metadata().get("www-authenticate").is_some();
    assert_eq!(challenge, code.code == "UNAUTHENTICATED");
}

#[tokio::test]
async fn tonic_client_sees_code_message_and_details_of_errors() {
    let endpoint = Endpoint::new(format!("http://{}", start().await)).unwrap();
    let mut client = GreeterClient::new(endpoint.connect().await.unwrap());
    for entry in catalogue() {
        let code = entry.code.code;
        for by in ["x-refuse", "x-fail"] {
            let unary = client.hello(asking(by, code, HelloRequest::default())).await;
            check(&unary.unwrap_err(), entry, When::AtOnce);
            let stream = client.count(asking(by, code, CountRequest::default())).await;
            check(&stream.unwrap_err(), entry, When::AtOnce);
        }
        let request = asking("x-fail-later", code, CountRequest::default());
        let mut stream = client.count(request).await.unwrap().into_inner();
        for number in [1, 2] {
            assert_eq!(stream.message().await.unwrap().unwrap().number, number);
        }
        check(&stream.message().await.unwrap_err(), entry, When::InMidStream);
    }
}

#[tokio::test]
async fn error_with_too_many_details_keeps_its_status() {
    let endpoint = Endpoint::new(format!("http://{}", start().await)).unwrap();
    let mut client = GreeterClient::new(endpoint.connect().await.unwrap());
    let check = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().starts_with("0: no \u{fc} no \u{fc}"), "{}", status.message());
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "VALIDATION_ERROR");
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "email", "a name that is too long does not keep it out");
    };
    for by in ["x-refuse", "x-fail"] {
        check(client.hello(asking(by, MUCH, HelloRequest::default())).await.unwrap_err());
    }
    let request = asking("x-fail-later", MUCH, CountRequest::default());
    let mut stream = client.count(request).await.unwrap().into_inner();
    for _ in [1, 2] {
        stream.message().await.unwrap();
    }
    check(stream.message().await.unwrap_err());
}

#[tokio::test]
async fn panic_in_mid_stream_fails_only_that_call() {
    let endpoint = Endpoint::new(format!("http://{}", start().await)).unwrap();
    let mut client = GreeterClient::new(endpoint.connect().await.unwrap());
    let mut other = client.count(CountRequest::default()).await.unwrap().into_inner();
    let request = asking("x-panic-later", "yes", CountRequest::default());
    let mut stream = client.count(request).await.unwrap().into_inner();
    let status = loop {
        match stream.message().await {
            Ok(reply) => assert!(reply.is_some(), "the stream ended as if it were whole"),
            Err(status) => break status,
        }
    };
    assert!(status.code() != Code::Ok && !format!("{status:?}").contains("hunter2"), "{status:?}");
    assert_eq!(other.message().await.unwrap().unwrap().number, 1);
    client.hello(HelloRequest::default()).await.unwrap();
}

#[tokio::test]
async fn panic_is_internal_and_leaves_the_connection_open() {
    let endpoint = Endpoint::new(format!("http://{}", start().await)).unwrap();
    let mut client = GreeterClient::new(endpoint.connect().await.unwrap());
    for _ in 0..3 {
        let status = client.reset(ResetRequest {}).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
        assert!(!format!("{status:?}").contains("hunter2"));
        client.hello(HelloRequest::default()).await.unwrap();
    }
}
