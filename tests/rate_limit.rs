//! The example of limits, as it answers to curl over HTTP/1.1 and HTTP/2; and what gRPC clients are told.

use std::time::Duration;

use http::{Method, Request, Version};
use http_body_util::{BodyExt, Full};
use palisade::{
    PeerAddr, PolicyLayer,
    rate_limit::{Quota, RateLimit},
};
use palisade_tests::{Answer, Client, Example};
use tonic_types::StatusExt;
use tower::{Layer, ServiceExt, service_fn};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// All clients have one address here, so each version gets a server of its own.
fn start(version: Version) -> (Example, Client) {
    let example = Example::start("rate_limit");
    let client = Client::new(example.address, version);
    (example, client)
}

fn assert_limited(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), &*answer.error_code()), (429, "RATE_LIMITED"));
}

fn fields<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn prints_commands_to_try() {
    let mut example = Example::start("rate_limit");
    let output = example.output_until("-X POST");
    for needed in ["free token:", "pro token:"] {
        assert!(output.contains(needed), "{needed} is not in the output");
    }
    assert!(output.lines().filter(|line| line.contains("curl ")).count() >= 11);
}

#[tokio::test]
async fn every_response_has_limit_fields_and_request_101_is_429() {
    for version in VERSIONS {
        let (_example, client) = start(version);
        let first = client.get("/", &[]).await;
        assert_eq!(first.header("ratelimit-policy"), Some(r#""address";q=100;w=10"#));
        assert!(first.header("ratelimit").unwrap().starts_with(r#""address";r=99;t="#));
        for _ in 1..100 {
            assert_eq!(client.get("/", &[]).await.status, 200);
        }
        let refused = client.get("/nothing", &[]).await;
        assert_limited(&refused);
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=11).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn several_quotas_are_charged_together_or_not_at_all() {
    for version in VERSIONS {
        let (_example, client) = start(version);
        for _ in 0..4 {
            assert_eq!(client.get("/search", &[]).await.status, 200);
        }
        for _ in 0..3 {
            let export = client.get("/export", &[]).await;
            assert_limited(&export);
            let standings = fields(&export, "ratelimit");
            assert!(standings[0].starts_with(r#""burst";r=1;t="#), "{standings:?}");
            assert!(standings[1].starts_with(r#""hourly";r=996;t="#), "{standings:?}");
            assert!(standings[2].starts_with(r#""address";r="#), "{standings:?}");
        }
        assert_eq!(client.get("/search", &[]).await.status, 200);
        assert_limited(&client.get("/search", &[]).await);
        assert_eq!(client.get("/", &[]).await.status, 200, "the rest of the service is open");
    }
}

#[tokio::test]
async fn pro_tier_has_a_higher_limit() {
    for version in VERSIONS {
        let (mut example, client) = start(version);
        for (tier, name, most) in [("free", "ada\n", 3), ("pro", "grace\n", 6)] {
            let token = format!("authorization: Bearer {}", example.token(tier));
            for _ in 0..most {
                let passed = client.get("/whoami", &[&token]).await;
                assert_eq!((passed.status.as_u16(), &*passed.text()), (200, name));
                let policy = format!(r#""{tier}";q={most};w=60"#);
                assert!(fields(&passed, "ratelimit-policy").contains(&&*policy));
            }
            assert_limited(&client.get("/whoami", &[&token]).await);
        }
        assert_eq!(client.get("/whoami", &[]).await.error_code(), "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn fourth_wrong_password_is_429_and_correct_ones_do_not_count() {
    for version in VERSIONS {
        let (_example, client) = start(version);
        let right = r#"{"user":"ada","password":"correct horse battery staple"}"#;
        let wrong = r#"{"user":"ada","password":"guess"}"#;
        let login = async |what| client.post_json("/login", what, &[]).await;
        for _ in 0..10 {
            assert_eq!(login(right).await.text(), "welcome\n");
        }
        for _ in 0..3 {
            assert_eq!(login(wrong).await.error_code(), "UNAUTHENTICATED");
            assert!([200, 429].contains(&login(right).await.status.as_u16()));
        }
        assert_limited(&login(wrong).await);
        assert_limited(&login(right).await);
    }
}

#[tokio::test]
async fn third_stream_is_rejected_until_one_of_two_ends() {
    for version in VERSIONS {
        let (_example, client) = start(version);
        let open = async || {
            let get = Request::get("/events").body(Full::default()).unwrap();
            client.start(get).await
        };
        let (mut one, two) = (open().await, open().await);
        assert!(one.body_mut().frame().await.unwrap().is_ok());
        for _ in 0..3 {
            let refused = client.get("/events", &[]).await;
            assert_limited(&refused);
            assert_eq!(refused.header("retry-after"), Some("1"));
        }
        drop(two);
        // The server hears of it when it writes the next event.
        while open().await.status() != 200 {
            one.body_mut().frame().await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn gcra_limits_methods_separately_with_older_header_fields() {
    for version in VERSIONS {
        let (_example, client) = start(version);
        for remaining in ["1", "0"] {
            let passed = client.get("/notes", &[]).await;
            assert_eq!(passed.status, 200);
            assert_eq!(passed.header("x-ratelimit-limit"), Some("30"));
            assert_eq!(passed.header("x-ratelimit-remaining"), Some(remaining));
        }
        let refused = client.get("/notes", &[]).await;
        assert_limited(&refused);
        assert!(["1", "2"].contains(&refused.header("retry-after").unwrap()));
        assert_eq!(client.call(Method::POST, "/notes", &[]).await.status, 201);
    }
}

/// What a limit answers to gRPC.
async fn grpc_status(
    quotas: impl Into<palisade::rate_limit::Quotas>,
    calls: u32,
) -> (tonic::Status, http::HeaderMap) {
    let limit = RateLimit::per_address(quotas).build().unwrap();
    let service = service_fn(|_: Request<Full<bytes::Bytes>>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::<bytes::Bytes>::default()))
    });
    let service = PolicyLayer::new(limit).layer(service);
    let mut last = None;
    for _ in 0..calls {
        let call = Request::post("/greeter.Greeter/SayHello")
            .header("content-type", "application/grpc")
            .extension(PeerAddr("192.0.2.1:4000".parse().unwrap()));
        let call = call.body(Full::default()).unwrap();
        last = Some(service.clone().oneshot(call).await.unwrap());
    }
    let headers = last.unwrap().headers().clone();
    (tonic::Status::from_header_map(&headers).unwrap(), headers)
}

#[tokio::test]
async fn grpc_details_name_the_violated_quotas_and_the_wait() {
    let quotas = [
        Quota::per(2, Duration::from_secs(3600)).fixed_window().named("burst"),
        Quota::per(1000, Duration::from_secs(86_400)).named("daily"),
    ];
    let (status, headers) = grpc_status(quotas, 3).await;
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    let details = status.get_error_details();
    let violations = &details.quota_failure().unwrap().violations;
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(format!("{violations:?}").contains("burst"), "{violations:?}");
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(3600));
    let pushback: u128 = headers["grpc-retry-pushback-ms"].to_str().unwrap().parse().unwrap();
    assert!(pushback.abs_diff(wait.as_millis()) <= 1, "{pushback} {wait:?}");
    assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
}

#[tokio::test]
async fn grpc_pushback_forbids_retries_if_the_limit_is_zero() {
    let (status, headers) = grpc_status(Quota::per(0, Duration::from_secs(60)), 1).await;
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert!(status.get_error_details().retry_info().is_none());
    assert_eq!(headers["grpc-retry-pushback-ms"], "-1");
}
