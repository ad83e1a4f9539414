//! The hyper example: a service without a framework, in the same stack.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{Channel, Full};
use palisade_tests::{Client, Example};

#[tokio::test]
async fn service_responses_are_kept_inside_the_stack() {
    let mut example = Example::start("hyper_service");
    let token = format!("authorization: Bearer {}", example.token("user"));
    for client in Client::of_each_version(example.address) {
        let hello = client.get("/", &["origin: https://app.example.com"]).await;
        assert_eq!((hello.status, hello.text()), (StatusCode::OK, "hello\n".to_owned()));
        assert_eq!(hello.header("x-request-id").unwrap().len(), 36);
        assert_eq!(hello.header("access-control-allow-origin"), Some("https://app.example.com"));

        let lost = client.get("/nothing", &[]).await;
        assert_eq!((lost.status, lost.text()), (StatusCode::NOT_FOUND, "not found\n".to_owned()));

        assert_eq!(client.get("/whoami", &[&token]).await.text(), "ada\n");
        let nobody = client.get("/whoami", &[]).await;
        assert_eq!(
            (nobody.status, &*nobody.error_code()),
            (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED")
        );

        let asks = "access-control-request-method: POST";
        let preflight =
            async |origin: &str| client.call(Method::OPTIONS, "/echo", &[origin, asks]).await;
        assert_eq!(
            preflight("origin: https://app.example.com").await.status,
            StatusCode::NO_CONTENT
        );
        assert_eq!(preflight("origin: https://evil.example").await.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn bodies_are_limited_with_and_without_declared_length() {
    let example = Example::start("hyper_service");
    for client in Client::of_each_version(example.address) {
        let post = async |size| {
            let body = Full::new(Bytes::from(vec![b'x'; size]));
            client.send(Request::post("/echo").body(body).unwrap()).await
        };
        let exact = post(1024).await;
        assert_eq!((exact.status, exact.body.len()), (StatusCode::OK, 1024));
        assert_eq!(post(1025).await.error_code(), "PAYLOAD_TOO_LARGE");

        for (chunks, status) in [(4, StatusCode::OK), (5, StatusCode::PAYLOAD_TOO_LARGE)] {
            let (mut sender, body) = Channel::<Bytes>::new(8);
            for _ in 0..chunks {
                sender.try_send(http_body::Frame::data(Bytes::from(vec![b'x'; 256]))).unwrap();
            }
            drop(sender);
            let answer = client.send(Request::post("/echo").body(body).unwrap()).await;
            assert_eq!(answer.status, status, "{chunks} chunks of 256 bytes");
        }
    }
}

#[tokio::test]
async fn errors_and_panics_are_500s_with_cors_headers() {
    let example = Example::start("hyper_service");
    for client in Client::of_each_version(example.address) {
        for path in ["/fail", "/boom"] {
            let failed = client.get(path, &["origin: https://app.example.com"]).await;
            assert_eq!(
                (failed.status, &*failed.error_code()),
                (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
            );
            assert!(!failed.text().contains("database"), "the cause is for the log");
            assert_eq!(
                failed.header("access-control-allow-origin"),
                Some("https://app.example.com")
            );
            assert_eq!(client.get("/", &[]).await.status, StatusCode::OK, "the server goes on");
        }
    }
}

#[tokio::test]
async fn hundred_and_first_request_is_rejected() {
    let example = Example::start("hyper_service");
    let [client, _] = Client::of_each_version(example.address);
    for _ in 0..100 {
        assert_eq!(client.get("/", &[]).await.status, StatusCode::OK);
    }
    let refused = client.get("/", &[]).await;
    assert_eq!(
        (refused.status, &*refused.error_code()),
        (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED")
    );
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
}
