//! The policy around a service, as a browser meets it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Full};
use palisade_core::{ApiError, Body, Decision, Halt, Policy, PolicyLayer, testing::Log};
use palisade_cors::Cors;
use tower::{Layer, ServiceExt, service_fn};
use tracing::Level;

/// Rejects all requests, like an exceeded limit.
struct UsedUp;

impl Policy for UsedUp {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::refuse(ApiError::rate_limited().with_retry_after(Duration::from_secs(7)))
    }
}

const APP: &str = "https://app.example.com";

fn cors() -> Cors {
    Cors::allow_origins([APP, "https://admin.example.com"]).allow_credentials(true).build().unwrap()
}

fn request(method: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri("/orders");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

/// The answer, and how often the service behind the policy was called for it.
async fn send(cors: &Cors, request: Request<Full<Bytes>>) -> (Response<Body<Full<Bytes>>>, usize) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        counter.fetch_add(1, Ordering::SeqCst);
        async {
            let response = Response::builder().header(header::ALLOW, "GET, OPTIONS");
            Ok::<_, Infallible>(response.body(Full::new(Bytes::from("inner"))).unwrap())
        }
    });
    let response = cors.layer().layer(service).oneshot(request).await.unwrap();
    (response, calls.load(Ordering::SeqCst))
}

fn cors_headers(headers: &HeaderMap) -> Vec<&str> {
    let names = headers.keys().map(http::HeaderName::as_str);
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test]
async fn a_preflight_is_answered_before_the_service() {
    let preflight = [("origin", APP), ("access-control-request-method", "POST")];
    let (response, calls) = send(&cors(), request("OPTIONS", &preflight)).await;
    assert_eq!((response.status(), calls), (StatusCode::NO_CONTENT, 0));
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn preflight_from_unlisted_origin_gets_no_cors_headers() {
    let preflight = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    let (response, calls) = send(&cors(), request("OPTIONS", &preflight)).await;
    assert_eq!((response.status(), calls), (StatusCode::FORBIDDEN, 0));
    assert!(cors_headers(response.headers()).is_empty());
    assert_eq!(response.headers()[header::VARY], "Origin");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn options_without_a_requested_method_reaches_the_service() {
    for headers in [&[("origin", APP)] as &[_], &[], &[("access-control-request-method", "PUT")]] {
        let (response, calls) = send(&cors(), request("OPTIONS", headers)).await;
        assert_eq!((response.status(), calls), (StatusCode::OK, 1), "{headers:?}");
        assert_eq!(response.headers()[header::ALLOW], "GET, OPTIONS");
        assert_eq!(response.headers()[header::VARY], "Origin");
    }
}

#[tokio::test]
async fn unlisted_origin_is_served_without_cors_headers() {
    for origin in ["https://evil.example", "https://app.example.comadmin.example.com", "null"] {
        let (response, calls) = send(&cors(), request("POST", &[("origin", origin)])).await;
        assert_eq!((response.status(), calls), (StatusCode::OK, 1));
        assert!(cors_headers(response.headers()).is_empty(), "{origin}");
        assert_eq!(response.headers()[header::VARY], "Origin");
    }
}

#[tokio::test]
async fn inner_rejection_in_a_chain_has_cors_headers() {
    let service =
        PolicyLayer::new(cors().then(UsedUp)).layer(service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));

    let response = service.clone().oneshot(request("GET", &[("origin", APP)])).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "7");
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    let exposed = response.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
    assert!(exposed.contains("Retry-After"));
    assert_eq!(response.headers()[header::VARY], "Origin");

    // A preflight spends nothing of the limit: the limit is not asked.
    let preflight = [("origin", APP), ("access-control-request-method", "POST")];
    let response = service.oneshot(request("OPTIONS", &preflight)).await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn nested_layer_adds_cors_headers_to_rejections() {
    let limited = PolicyLayer::new(UsedUp).layer(service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let service = cors().layer().layer(limited);
    let response = service.oneshot(request("GET", &[("origin", APP)])).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
}

fn head(method: &str, headers: &[(&str, &str)]) -> request::Parts {
    request(method, headers).into_parts().0
}

#[test]
fn preflight_rejection_reason_is_only_logged() {
    let preflight = [("origin", APP), ("access-control-request-method", "PUT")];
    let written = Log::during(Level::DEBUG, || {
        let Decision::Now(Err(Halt::Reply(reply))) = cors().decide(&head("OPTIONS", &preflight))
        else {
            panic!("a preflight is answered")
        };
        assert_eq!(reply.headers().keys().collect::<Vec<_>>(), ["vary"]);
    });
    for expected in ["DEBUG", "CORS preflight refused", "the method is not listed", APP, "PUT"] {
        assert!(written.contains(expected), "{written}");
    }
}

#[test]
fn client_input_is_logged_in_one_short_line() {
    let long = "x".repeat(10_000);
    let preflight = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", &long),
    ];
    let mut head = head("OPTIONS", &preflight);
    let method = HeaderValue::from_bytes(b"P\xffUT\t\"").unwrap();
    head.headers.insert("access-control-request-method", method);
    let written = Log::during(Level::DEBUG, || drop(cors().decide(&head)));
    assert!(written.len() < 800 && written.lines().count() == 1, "{written}");
    assert!(written.contains(r#"P\xffUT\t\""#), "{written}");
}

#[test]
fn debug_mode_logs_each_rejection() {
    let cors = Cors::allow_origins([APP]).debug(true).build().unwrap();
    let written = Log::during(Level::DEBUG, || {
        drop(cors.decide(&head("GET", &[("origin", "https://evil.example")])));
    });
    for expected in ["WARN", "CORS request refused", "see allow_origin", "https://evil.example"] {
        assert!(written.contains(expected), "{written}");
    }
}

#[test]
fn challenge_that_pages_cannot_answer_is_logged_once() {
    let answered = |cors: &Cors, challenge: &'static str| {
        let Decision::Now(Ok(grant)) = cors.decide(&head("GET", &[("origin", APP)])) else {
            panic!("passes")
        };
        let response = Response::builder().status(401).header("www-authenticate", challenge);
        let (mut response, ()) = response.body(()).unwrap().into_parts();
        cors.finish(grant, &mut response);
    };
    let twice = |cors: &Cors, challenge| {
        Log::during(Level::DEBUG, || {
            answered(cors, challenge);
            answered(cors, challenge);
        })
    };
    let builder = || Cors::allow_origins([APP]);
    let written = twice(&builder().build().unwrap(), "Bearer realm=\"api\"");
    assert_eq!(written.matches("asked for an Authorization").count(), 1, "{written}");
    assert_eq!(twice(&builder().build().unwrap(), "Cookie realm=\"api\""), "");
    let lists = builder().allow_headers(["authorization"]).build().unwrap();
    assert_eq!(twice(&lists, "Bearer realm=\"api\""), "");
}
