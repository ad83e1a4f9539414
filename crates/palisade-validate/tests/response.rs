//! What a service answers is what it promises.

use std::{convert::Infallible, sync::Mutex};

use bytes::Bytes;
use garde::Validate;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Channel, Full, combinators::UnsyncBoxBody};
use palisade_validate::{RuleContext, ValidateResponseLayer, debug_validate_response};
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
async fn invalid_response_is_500_in_development() {
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
async fn only_successful_json_responses_are_checked() {
    let layer = debug_validate_response::<Item>;
    assert_eq!(answer(layer(), 404, JSON, "{}").await.0, StatusCode::NOT_FOUND);
    assert_eq!(answer(layer(), 200, "text/plain", "hello").await.0, StatusCode::OK);
}

#[tokio::test]
async fn head_and_compressed_responses_are_not_checked() {
    let send = async |method: &str, coding: Option<&'static str>| {
        let service = service_fn(move |_: Request<()>| async move {
            let response = Response::builder().header("content-type", JSON);
            let mut response = response.body(Full::<Bytes>::default()).unwrap();
            if let Some(coding) = coding {
                response.headers_mut().insert("content-encoding", coding.parse().unwrap());
            }
            Ok::<_, Infallible>(response)
        });
        let request = Request::builder().method(method).body(()).unwrap();
        let service = debug_validate_response::<Item>().layer(service);
        service.oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!(
        send("HEAD", None).await,
        200,
        "a client hears of the same as for GET, without the body"
    );
    assert_eq!(send("GET", Some("gzip")).await, 200);
    assert_eq!(send("GET", Some("identity")).await, 500);
    assert_eq!(send("GET", None).await, 500);
}

#[tokio::test]
async fn invalid_response_can_be_logged_only() {
    let layer = debug_validate_response::<Item>().also_in_release().only_log();
    assert_eq!(answer(layer, 200, JSON, "{}").await, (StatusCode::OK, "{}".into()));
}

#[tokio::test]
async fn error_500_names_the_place_but_not_the_value() {
    let body =
        answer(debug_validate_response(), 200, JSON, r#"{"name":5,"secret":"hunter2"}"#).await.1;
    let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(error["error"]["issues"][0]["path"], "name");
    assert!(!String::from_utf8_lossy(&body).contains("hunter2"));
}

#[tokio::test]
async fn long_or_unsized_responses_are_not_buffered() {
    let send = async |body: UnsyncBoxBody<Bytes, &'static str>| {
        let body = Mutex::new(Some(body));
        let service = service_fn(move |_: Request<()>| {
            let body = body.lock().unwrap().take().unwrap();
            async move {
                Ok::<_, Infallible>(
                    Response::builder().header("content-type", JSON).body(body).unwrap(),
                )
            }
        });
        let layer = debug_validate_response::<Item>();
        layer.layer(service).oneshot(Request::new(())).await.unwrap().status().as_u16()
    };
    let full = |length: usize| {
        Full::from(vec![b' '; length]).map_err(|never| match never {}).boxed_unsync()
    };
    assert_eq!(send(full(1024 * 1024)).await, 500);
    assert_eq!(send(full(1024 * 1024 + 1)).await, 200);
    let (_sender, endless) = Channel::<Bytes, &'static str>::new(1);
    assert_eq!(send(endless.boxed_unsync()).await, 200);
}

#[tokio::test]
async fn response_rules_receive_the_context_of_the_request() {
    #[derive(Debug, Deserialize, Validate)]
    #[garde(context(usize as longest))]
    struct Note {
        #[garde(length(chars, max = *longest))]
        #[allow(dead_code)]
        text: String,
    }
    let send = async |context: Option<usize>| {
        let service = service_fn(|_: Request<()>| async {
            let body = Full::new(Bytes::from_static(br#"{"text":"four"}"#));
            Ok::<_, Infallible>(
                Response::builder().header("content-type", JSON).body(body).unwrap(),
            )
        });
        let mut request = Request::new(());
        if let Some(longest) = context {
            request.extensions_mut().insert(RuleContext::new(longest));
        }
        debug_validate_response::<Note>().layer(service).oneshot(request).await.unwrap().status()
    };
    assert_eq!(send(Some(4)).await, StatusCode::OK);
    assert_eq!(send(Some(3)).await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(send(None).await, StatusCode::INTERNAL_SERVER_ERROR);
}
