//! What a service answers is what it promises.

use std::convert::Infallible;

use bytes::Bytes;
use garde::Validate;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use palisade_validate::{ValidateResponseLayer, debug_validate_response};
use serde::Deserialize;
use tower::{Layer, ServiceExt, service_fn};

#[derive(Debug, Deserialize, Validate)]
struct Item {
    #[garde(length(chars, min = 1))]
    #[allow(dead_code)]
    name: String,
}

async fn answer(
    layer: ValidateResponseLayer<Item>,
    status: u16,
    content_type: &'static str,
    body: &'static str,
) -> (StatusCode, Bytes) {
    let service = service_fn(move |_: Request<()>| async move {
        let response = Response::builder().status(status).header("content-type", content_type);
        Ok::<_, Infallible>(response.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
    });
    let response = layer.layer(service).oneshot(Request::new(())).await.unwrap();
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

const JSON: &str = "application/json";

#[tokio::test]
async fn a_response_that_breaks_its_promise_is_a_500_while_a_service_is_developed() {
    let layer = debug_validate_response::<Item>;
    let good = r#"{"name":"lamp"}"#;
    assert_eq!(answer(layer(), 200, JSON, good).await, (StatusCode::OK, good.into()));
    for bad in [r#"{"name":""}"#, "{}", "", "<html>"] {
        let (status, body) = answer(layer(), 200, JSON, bad).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{bad}");
        assert!(String::from_utf8_lossy(&body).contains("INVALID_RESPONSE"));
    }
}

#[tokio::test]
async fn only_successful_json_is_looked_at() {
    let layer = debug_validate_response::<Item>;
    assert_eq!(answer(layer(), 404, JSON, "{}").await.0, StatusCode::NOT_FOUND);
    assert_eq!(answer(layer(), 200, "text/plain", "hello").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_response_can_be_let_past_with_a_line_in_the_log() {
    let layer = debug_validate_response::<Item>().also_in_release().only_log();
    assert_eq!(answer(layer, 200, JSON, "{}").await, (StatusCode::OK, "{}".into()));
}
