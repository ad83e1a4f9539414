//! Which requests are one request, and what a retry gets.

mod common;

use std::{sync::Arc, time::Duration};

use common::{Calls, builder, counting, post, request_of, send};
use http::{Method, Request, StatusCode};
use palisade_core::{
    ManualClock, Principal,
    testing::{Contract, Script},
};
use palisade_idempotency::{Idempotency, InMemoryClaims};

#[tokio::test]
async fn keeps_the_layer_contract() {
    let request = || Request::post("/").body(Script::default()).unwrap();
    Contract::new(request).check(|| builder().build().unwrap());
}

#[tokio::test]
async fn retry_gets_the_stored_response() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let handler = counting(&calls);
    let first = send(&layer, &handler, post("k", "10 EUR")).await;
    assert_eq!((first.status.as_u16(), &*first.body), (201, b"call 1" as &[u8]));
    assert!(!first.is_replayed());
    for spelling in ["k", "\"k\""] {
        let retry = send(&layer, &handler, post(spelling, "10 EUR")).await;
        assert_eq!((retry.status, &retry.body), (first.status, &first.body));
        assert_eq!(retry.headers["x-call"], "1");
        assert!(retry.is_replayed());
    }
    assert_eq!(calls.count(), 1);
    assert_eq!(send(&layer, &handler, post("other", "10 EUR")).await.body, "call 2");
}

#[tokio::test]
async fn rejects_key_that_was_used_for_another_request() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let handler = counting(&calls);
    let request = |uri: &str, content_type: &str, body| {
        let request = Request::post(uri.to_owned()).header("content-type", content_type);
        request_of("ada", request.header("idempotency-key", "k"), body)
    };
    send(&layer, &handler, request("/payments?a=1", "text/plain", "10 EUR")).await;
    for other in [
        request("/payments?a=1", "text/plain", "11 EUR"),
        request("/payments?a=2", "text/plain", "10 EUR"),
        request("/payments?a=1", "text/html", "10 EUR"),
    ] {
        let rejected = send(&layer, &handler, other).await;
        assert_eq!(rejected.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(rejected.code(), "IDEMPOTENCY_KEY_REUSED");
    }
    assert_eq!(calls.count(), 1);
}

#[tokio::test]
async fn keys_belong_to_caller_method_and_path() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let handler = counting(&calls);
    for (expected, caller, method, uri) in [
        (1, "ada", Method::POST, "/payments"),
        (2, "grace", Method::POST, "/payments"),
        (3, "ada", Method::PATCH, "/payments"),
        (4, "ada", Method::POST, "/refunds"),
        (1, "ada", Method::POST, "/payments"),
    ] {
        let request = Request::builder().method(method).uri(uri).header("idempotency-key", "k");
        let answer = send(&layer, &handler, request_of(caller, request, "")).await;
        assert_eq!(answer.body, format!("call {expected}"), "{caller} {uri}");
    }
}

#[tokio::test]
async fn callers_of_two_tenants_do_not_share_keys() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let handler = counting(&calls);
    let ada = Principal::new("ada").with_tenants(["acme", "globex"]);
    for (tenant, expected) in [("acme", "call 1"), ("globex", "call 2"), ("acme", "call 1")] {
        let mut request = post("k", "");
        request.extensions_mut().insert(ada.clone().in_tenant(tenant).unwrap());
        assert_eq!(send(&layer, &handler, request).await.body, expected);
    }
}

#[tokio::test]
async fn key_without_a_caller_is_401_unless_a_scope_is_configured() {
    let calls = Calls::default();
    let handler = counting(&calls);
    let anonymous = |device: Option<&str>| {
        let request = Request::post("/payments").header("idempotency-key", "k");
        let request =
            device.into_iter().fold(request, |request, id| request.header("x-device", id));
        request.body("".into()).unwrap()
    };
    let by_caller = builder().build().unwrap();
    let rejected = send(&by_caller, &handler, anonymous(None)).await;
    assert_eq!((rejected.status, calls.count()), (StatusCode::UNAUTHORIZED, 0));

    let by_device = builder()
        .scope_by(|head| head.headers.get("x-device")?.to_str().ok().map(str::to_owned))
        .build()
        .unwrap();
    assert_eq!(send(&by_device, &handler, anonymous(None)).await.status, StatusCode::UNAUTHORIZED);
    for (device, expected) in [("a", "call 1"), ("b", "call 2"), ("a", "call 1")] {
        assert_eq!(send(&by_device, &handler, anonymous(Some(device))).await.body, expected);
    }
}

#[tokio::test]
async fn requests_without_a_key_run_unless_it_is_required() {
    let calls = Calls::default();
    let handler = counting(&calls);
    let no_key = || request_of("ada", Request::post("/payments"), "");
    let (optional, required) = (builder().build().unwrap(), builder().required().build().unwrap());
    for expected in ["call 1", "call 2"] {
        assert_eq!(send(&optional, &handler, no_key()).await.body, expected);
    }
    let rejected = send(&required, &handler, no_key()).await;
    assert_eq!(rejected.status, StatusCode::BAD_REQUEST);
    assert_eq!(rejected.code(), "IDEMPOTENCY_KEY_REQUIRED");
    // other methods need no key
    let put = request_of("ada", Request::put("/payments").header("idempotency-key", "k"), "");
    assert_eq!(send(&required, &handler, put).await.body, "call 3");
    for malformed in ["a b", "\"a", "", "\"\""] {
        let rejected = send(&optional, &handler, post(malformed, "")).await;
        assert_eq!(rejected.code(), "INVALID_IDEMPOTENCY_KEY", "{malformed:?}");
    }
    let strict = builder().strict_keys().build().unwrap();
    assert_eq!(send(&strict, &handler, post("bare", "")).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(calls.count(), 3);
}

#[tokio::test]
async fn large_request_body_is_413_before_the_claim() {
    let (layer, calls) = (builder().max_request_body(4).build().unwrap(), Calls::default());
    let handler = counting(&calls);
    let rejected = send(&layer, &handler, post("k", "12345")).await;
    assert_eq!(rejected.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send(&layer, &handler, post("k", "1234")).await.body, "call 1");
}

#[tokio::test]
async fn response_is_replayed_for_the_retention() {
    let clock = ManualClock::at(Duration::from_secs(1_700_000_000));
    let store = InMemoryClaims::with_clock(10, Arc::new(clock.clone())).unwrap();
    let layer = Idempotency::new(store).build().unwrap();
    let calls = Calls::default();
    let handler = counting(&calls);
    let day = Duration::from_secs(24 * 60 * 60);
    for (wait, expected) in [
        (Duration::ZERO, "call 1"),
        (day.checked_sub(Duration::from_secs(1)).unwrap(), "call 1"),
        (Duration::from_secs(1), "call 2"),
    ] {
        clock.advance(wait);
        assert_eq!(send(&layer, &handler, post("k", "")).await.body, expected);
    }
}

#[tokio::test]
async fn configured_headers_are_replayed() {
    let name = http::HeaderName::from_static("content-type");
    let layer = builder().replayed_headers([name]).build().unwrap();
    let calls = Calls::default();
    let handler = counting(&calls);
    let first = send(&layer, &handler, post("k", "")).await;
    assert_eq!(first.headers["x-call"], "1");
    let retry = send(&layer, &handler, post("k", "")).await;
    assert!(!retry.headers.contains_key("x-call"));
    assert!(retry.is_replayed());
}

#[test]
fn invalid_settings_are_config_errors() {
    for (built, setting) in [
        (builder().methods([]).build(), "methods"),
        (builder().methods([Method::POST, Method::GET]).build(), "methods"),
        (builder().keep(Duration::ZERO).build(), "keep"),
        (builder().max_request_body(0).build(), "max_request_body"),
        (builder().max_response_body(0).build(), "max_response_body"),
    ] {
        assert_eq!(built.unwrap_err().setting(), setting);
    }
}
