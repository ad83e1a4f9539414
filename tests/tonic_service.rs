//! The tonic example, called by a tonic client.

use palisade_tests::Example;
use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "made by the compiler of the protocol"
)]
mod greeter {
    tonic::include_proto!("greeter.v1");
}

use greeter::{CountRequest, HelloRequest, ResetRequest, greeter_client::GreeterClient};

async fn connect(example: &Example) -> GreeterClient<Channel> {
    let endpoint = Endpoint::new(format!("http://{}", example.address)).unwrap();
    GreeterClient::new(endpoint.connect().await.unwrap())
}

fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn hello() -> HelloRequest {
    HelloRequest { name: "world".to_owned() }
}

#[tokio::test]
async fn unary_call_passes_with_the_identity_of_its_token() {
    let mut example = Example::start("tonic_service");
    let token = example.token("user");
    let mut client = connect(&example).await;
    let reply = client.hello(with_token(&token, hello())).await.unwrap();
    assert_eq!(reply.metadata().get("x-request-id").unwrap().len(), 36);
    let reply = reply.into_inner();
    assert_eq!((&*reply.text, &*reply.caller), ("hello world", "ada"));
}

#[tokio::test]
async fn stream_passes_message_by_message() {
    let mut example = Example::start("tonic_service");
    let token = example.token("user");
    let mut client = connect(&example).await;
    let mut replies =
        client.count(with_token(&token, CountRequest { to: 5 })).await.unwrap().into_inner();
    let mut order = Vec::new();
    while let Some(reply) = replies.message().await.unwrap() {
        order.push(reply.number);
        if order.len() == 1 {
            // the stream is open, and another call comes and goes meanwhile
            client.hello(with_token(&token, hello())).await.unwrap();
            order.push(0);
        }
    }
    assert_eq!(order, [1, 0, 2, 3, 4, 5]);
}

fn says(status: &Status, code: Code, message: &str) {
    assert_eq!((status.code(), status.message()), (code, message));
    let details = status.get_error_details();
    let why = details.error_info().expect("an ErrorInfo");
    assert_eq!(why.domain, "greeter.v1.Greeter");
    assert!(why.reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{why:?}");
    let request = details.request_info().expect("a RequestInfo");
    assert_eq!(status.metadata().get("x-request-id").unwrap(), &*request.request_id);
    assert!(status.metadata().get("x-request-id").is_some(), "{status:?}");
}

#[tokio::test]
async fn rejections_have_the_right_grpc_code() {
    let mut example = Example::start("tonic_service");
    let (user, admin) = (example.token("user"), example.token("admin"));
    let mut client = connect(&example).await;

    let nobody = client.hello(Request::new(hello())).await.unwrap_err();
    says(&nobody, Code::Unauthenticated, "authentication is required");
    assert_eq!(nobody.metadata().get("www-authenticate").unwrap(), "Bearer realm=\"api\"");
    let nobody = client.count(Request::new(CountRequest { to: 5 })).await.unwrap_err();
    says(&nobody, Code::Unauthenticated, "authentication is required");

    let forged = client.hello(with_token("a.b.c", hello())).await.unwrap_err();
    says(&forged, Code::Unauthenticated, "the access token is not valid");

    let user = client.reset(with_token(&user, ResetRequest {})).await.unwrap_err();
    says(&user, Code::PermissionDenied, "access is denied");
    client.reset(with_token(&admin, ResetRequest {})).await.unwrap();
}

#[tokio::test]
async fn hundred_and_first_call_is_resource_exhausted() {
    let mut example = Example::start("tonic_service");
    let token = example.token("user");
    let mut client = connect(&example).await;
    for _ in 0..100 {
        client.hello(with_token(&token, hello())).await.unwrap();
    }
    let status = client.hello(with_token(&token, hello())).await.unwrap_err();
    says(&status, Code::ResourceExhausted, "too many requests");
    let wait: u64 =
        status.metadata().get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
    assert!(wait >= 1);
    let advice = status.get_error_details();
    let delay = advice.retry_info().and_then(|advice| advice.retry_delay).unwrap();
    let millis: u64 =
        status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(delay.as_millis(), u128::from(millis));
    assert_eq!(millis.div_ceil(1000), wait, "the header says it in whole seconds");
    let violations = &advice.quota_failure().unwrap().violations;
    assert_eq!(violations[0].quota_id, "default");
    assert_eq!(violations[0].quota_value, 100);
}
