//! Heads that are too large, and answers that are.

mod chunked;

use std::convert::Infallible;

use bytes::Bytes;
use chunked::{Chunked, code_of};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use palisade_body::{ByteSize, HeadLimits, ResponseLimit};
use palisade_core::{
    ApiError,
    testing::{Contract, Script, Step},
};
use tower::{Layer, ServiceExt, service_fn};

async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

fn fields(count: usize, value: usize) -> Request<()> {
    let mut request = Request::get("/").body(()).unwrap();
    for at in 0..count {
        let name = HeaderName::try_from(format!("x-field-{at:02}")).unwrap();
        let value = HeaderValue::try_from("v".repeat(value)).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

fn target(length: usize) -> Request<()> {
    Request::get(format!("http://example.com/{}", "a".repeat(length - 1))).body(()).unwrap()
}

#[tokio::test]
async fn head_one_byte_or_field_over_its_limits_is_rejected() {
    let each = "x-field-00".len();
    let limits = HeadLimits::new();
    for (limits, within, over, expected) in [
        (limits, target(8192), target(8193), 414),
        (limits.uri(ByteSize::kb(1)), target(1024), target(1025), 414),
        (limits, fields(100, 0), fields(101, 0), 431),
        (limits.fields(2), fields(2, 10), fields(3, 10), 431),
        (limits, fields(1, 8192 - each), fields(1, 8193 - each), 431),
        (limits.field(64), fields(2, 64 - each), fields(2, 65 - each), 431),
        // HTTP/2 counts 32 bytes for each field
        (limits.all_fields(2 * (32 + 64)), fields(2, 64 - each), fields(2, 65 - each), 431),
        (limits.all_fields(100), fields(1, 68 - each), fields(1, 69 - each), 431),
    ] {
        let service = limits.layer().layer(service_fn(hello));
        let passes = service.clone().oneshot(within).await.unwrap();
        assert_eq!(passes.status(), StatusCode::OK, "{limits:?}");
        let refused = service.oneshot(over).await.unwrap();
        assert_eq!(refused.status(), expected, "{limits:?}");
        assert_eq!(refused.headers()[header::CACHE_CONTROL], "no-store");
    }
}

#[tokio::test]
async fn rejection_431_names_the_field_but_not_its_value() {
    let mut request = fields(3, 5);
    request.headers_mut().insert(header::COOKIE, "secret".repeat(20).parse().unwrap());
    let service = HeadLimits::new().field(100).layer().layer(service_fn(hello));
    let refused = service.oneshot(request).await.unwrap();
    assert_eq!(refused.extensions().get::<ApiError>().unwrap().field(), Some("cookie"));
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("secret"));
}

#[tokio::test]
async fn repeated_fields_are_counted_each_time() {
    let service = HeadLimits::new().fields(2).layer().layer(service_fn(hello));
    for (cookies, expected) in [(2, 200), (3, 431)] {
        let mut request = fields(0, 0);
        for _ in 0..cookies {
            request.headers_mut().append(header::COOKIE, HeaderValue::from_static("a=b"));
        }
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected, "{cookies} cookies");
    }
}

#[tokio::test]
async fn overlong_field_name_is_not_repeated() {
    let service = HeadLimits::new().field(50).layer().layer(service_fn(hello));
    for (length, named) in [(64, true), (65, false)] {
        let name = HeaderName::try_from("n".repeat(length)).unwrap();
        let mut request = fields(0, 0);
        request.headers_mut().insert(name, HeaderValue::from_static(""));
        let refused = service.clone().oneshot(request).await.unwrap();
        let error = refused.extensions().get::<ApiError>().unwrap();
        assert_eq!(error.field().is_some(), named, "{length} bytes");
    }
}

#[test]
fn head_limits_keep_the_policy_contract() {
    Contract::new(|| Request::get("/").body(Script::empty()).unwrap())
        .check_policy(HeadLimits::new);
    Contract::new(|| Request::get("/?q=too+long").body(Script::empty()).unwrap())
        .check_refusal(|| HeadLimits::new().uri(5));
}

#[tokio::test]
async fn response_with_declared_excess_is_500() {
    for (limit, expected) in [(5, StatusCode::OK), (4, StatusCode::INTERNAL_SERVER_ERROR)] {
        let service = ResponseLimit::new(limit).layer(service_fn(hello));
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), expected);
        if limit == 4 {
            assert_eq!(code_of(response.into_body()).await, "RESPONSE_TOO_LARGE");
        }
    }
    // by its header alone
    let says = service_fn(|_: Request<()>| async {
        let response = Response::builder().header("content-length", "5");
        Ok::<_, Infallible>(response.body(Chunked::new(&["hello"])).unwrap())
    });
    let response = ResponseLimit::new(4).layer(says).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn head_response_may_declare_the_length_of_get() {
    for (method, status) in [("HEAD", 200), ("GET", 304)] {
        let says = service_fn(move |_: Request<()>| async move {
            let response = Response::builder().status(status).header("content-length", "500");
            Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
        });
        let request = Request::builder().method(method).body(()).unwrap();
        let response = ResponseLimit::new(4).layer(says).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn response_without_length_is_aborted_at_the_limit() {
    let streams = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Chunked::new(&["1234", "5678", "9"])))
    });
    let response = ResponseLimit::new(9).layer(streams).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "123456789");

    let response = ResponseLimit::new(8).layer(streams).oneshot(Request::new(())).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "1234");
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "5678");
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.downcast_ref::<ApiError>().unwrap().code(), "RESPONSE_TOO_LARGE");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn the_response_limit_keeps_the_contract() {
    Contract::new(|| Request::post("/").body(Script::from_steps([Step::Data("body")])).unwrap())
        .check(|| ResponseLimit::new(1024));
}
