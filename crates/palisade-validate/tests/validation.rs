//! What is wrong with a body or a query, all of it, and nothing of what the client sent.

use std::{collections::HashMap, convert::Infallible};

use bytes::Bytes;
use garde::Validate;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use palisade_core::{
    Body,
    testing::{Contract, Script, Step},
};
use palisade_validate::{ValidateLayer, Validated, Validation};
use serde::Deserialize;
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};

#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
struct Order {
    #[garde(length(chars, min = 1, max = 5))]
    name: String,
    #[garde(email)]
    email: String,
    #[garde(pattern(r"^#[0-9a-fA-F]{6}$"))]
    color: Option<String>,
    #[garde(range(min = 1, max = 10))]
    amount: u8,
    #[garde(dive)]
    address: Address,
    #[garde(dive)]
    #[serde(default)]
    items: Vec<Item>,
    #[serde(default)]
    shipping: Shipping,
    #[serde(default)]
    labels: HashMap<String, bool>,
    #[serde(default)]
    gift: Option<Gift>,
}

#[derive(Debug, Deserialize, Validate)]
struct Address {
    #[garde(length(min = 2))]
    city: String,
    #[garde(skip)]
    #[allow(dead_code)]
    zip: u32,
}

#[derive(Debug, Deserialize, Validate)]
struct Item {
    #[garde(range(min = 0.0))]
    price: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shipping {
    #[default]
    Post,
    Courier {
        #[allow(dead_code)]
        express: bool,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Gift {
    wrapped: bool,
}

async fn created(request: Request<Body<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let order =
        Validated::<Order>::from_extensions(request.extensions()).expect("validated").clone();
    let body = request.into_body().collect().await.expect("the bytes are there").to_bytes();
    let response = Response::builder().header("x-name", &order.name).body(Full::new(body)).unwrap();
    Ok(response)
}

async fn send(body: &str) -> (StatusCode, Value) {
    send_to(ValidateLayer::new(), "application/json", body).await
}

async fn send_to(
    layer: ValidateLayer<Order>,
    content_type: &str,
    body: &str,
) -> (StatusCode, Value) {
    let request = Request::post("/orders")
        .header("content-type", content_type)
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    let response = layer.layer(service_fn(created)).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// `path code` of each issue, sorted.
async fn issues(body: &str) -> Vec<String> {
    let (status, body) = send(body).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::BAD_REQUEST, &Value::from("VALIDATION_ERROR")),
        "{body}"
    );
    paths_and_codes(&body)
}

fn paths_and_codes(body: &Value) -> Vec<String> {
    let mut issues: Vec<_> = body["error"]["issues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|issue| {
            format!("{} {}", issue["path"].as_str().unwrap(), issue["code"].as_str().unwrap())
        })
        .collect();
    issues.sort();
    issues
}

const GOOD: &str = r##"{"name":"lamp","email":"a@example.com","color":"#00ff00","amount":2,
    "address":{"city":"Oslo","zip":150},"items":[{"price":1}],"shipping":{"courier":{"express":true}},
    "labels":{"fragile":true},"unknown":"is dropped"}"##;

#[tokio::test]
async fn valid_body_reaches_the_handler_byte_for_byte() {
    let (status, body) = send(GOOD).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, serde_json::from_str::<Value>(GOOD).unwrap());
}

#[tokio::test]
async fn all_broken_rules_are_reported_at_once() {
    let body = r#"{"name":"","email":"nope","color":"red","amount":11,"address":{"city":"x","zip":1},
        "items":[{"price":1},{"price":-1}]}"#;
    assert_eq!(
        issues(body).await,
        [
            "address.city too_short",
            "amount too_big",
            "color invalid_format",
            "email invalid_email",
            "items[1].price too_small",
            "name too_short",
        ]
    );
}

#[tokio::test]
async fn all_missing_fields_are_reported_at_once() {
    assert_eq!(
        issues("{}").await,
        ["address missing", "amount missing", "email missing", "name missing"]
    );
    assert_eq!(
        issues(r#"{"address":{},"items":[{},{"price":1},{}]}"#).await,
        [
            "address.city missing",
            "address.zip missing",
            "amount missing",
            "email missing",
            "items[0].price missing",
            "items[2].price missing",
            "name missing",
        ]
    );
}

#[tokio::test]
async fn wrong_types_and_missing_fields_are_reported_together() {
    let body = r#"{"name":7,"email":"nope","amount":"two","address":[],"items":[{"price":"x"},5,{"price":-1}],
        "shipping":"teleport","labels":{"a":1}}"#;
    assert_eq!(
        issues(body).await,
        [
            "address wrong_type",
            "amount wrong_type",
            "items[0].price wrong_type",
            "items[1] wrong_type",
            "labels.a wrong_type",
            "name wrong_type",
            "shipping invalid_option",
        ]
    );
    assert_eq!(
        issues(r#"{"name":"a","email":"a@b.cc","amount":256,"address":null}"#).await,
        ["address wrong_type", "amount wrong_type"]
    );
}

#[tokio::test]
async fn unknown_field_is_rejected_if_the_type_denies_it() {
    let body = GOOD.replacen('{', r#"{"gift":{"wrapped":true,"bow":1},"#, 1);
    assert_eq!(issues(&body).await, ["gift.bow unknown_field"]);
}

#[tokio::test]
async fn values_of_the_client_are_never_repeated() {
    let secret = "hunter2";
    for body in [
        format!(
            r#"{{"name":{{"{secret}":1}},"email":"{secret}","amount":"{secret}","address":"{secret}"}}"#
        ),
        format!(r#"{{"name":"{secret}{secret}","shipping":"{secret}","color":"{secret}"}}"#),
        format!(r#"["{secret}"]"#),
        format!(r#"{{"name":"{secret}"#),
    ] {
        let (status, answer) = send(&body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(!answer.to_string().contains(secret), "{answer}");
    }
}

#[tokio::test]
async fn malformed_json_gets_a_clear_message() {
    for (body, message) in [
        ("", "the body is empty, and JSON is expected"),
        ("{\n  \"name\": oops}", "the body is not valid JSON: expected value: line 2, column 11"),
        (
            "{\"name\":1",
            "the body is not valid JSON: it ends too early, inside of an object: line 1, column 9",
        ),
        ("{} {}", "the body is not valid JSON: there is more after its end: line 1, column 4"),
        (
            "{\"name\":1}x",
            "the body is not valid JSON: there is more after its end: line 1, column 11",
        ),
    ] {
        let (status, answer) = send(body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer["error"]["code"], "INVALID_JSON", "{body} {answer}");
        assert_eq!(answer["error"]["message"], message, "{body}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(send(&deep).await.1["error"]["code"], "INVALID_JSON");
}

#[tokio::test]
async fn rejects_duplicate_fields() {
    let body = GOOD.replacen('{', r#"{"name":"other","#, 1);
    assert_eq!(send(&body).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn other_media_type_is_415_and_longer_body_413() {
    let (status, _) = send_to(ValidateLayer::new(), "text/plain", GOOD).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (status, _) = send_to(ValidateLayer::new().limit(10), "application/json", GOOD).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn only_the_status_of_failed_validation_is_configurable() {
    let unprocessable = Validation::new().status(StatusCode::UNPROCESSABLE_ENTITY);
    let layer = || ValidateLayer::new().settings(unprocessable.clone());
    let (status, body) = send_to(layer(), "application/json", "{}").await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (422, &Value::from("VALIDATION_ERROR")));
    assert_eq!(send_to(layer(), "application/json", "{").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn issue_list_is_capped_at_64_with_bounded_work() {
    let items = vec!["{}"; 100_000].join(",");
    let body = format!("{{\"items\":[{items}]}}");
    let (status, body) = send(&body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["error"]["issues"].as_array().unwrap().len() <= 64);
    // The form is right and every rule is broken; then the form is wrong, and no rule is looked at.
    for (count, name, issues) in
        [(10_000, "\"\"", 64), (50_000, "\"\"", 1), (10_000, "7", 1), (50_000, "7", 1)]
    {
        let items = vec!["{\"price\":-1}"; count].join(",");
        let body = format!(
            r#"{{"name":{name},"email":"a@b.cc","amount":1,"address":{{"city":"Oslo","zip":1}},"items":[{items}]}}"#
        );
        let (_, body) = send(&body).await;
        assert_eq!(body["error"]["issues"].as_array().unwrap().len(), issues, "{count} {name}");
        assert_eq!(body["error"]["truncated"], true);
    }
    let wrong = vec!["1"; 1_000].join(",");
    let (_, body) = send(&format!("{{\"items\":[{wrong}]}}")).await;
    assert_eq!(body["error"]["issues"].as_array().unwrap().len(), 64);
}

#[test]
fn the_layer_keeps_the_contract() {
    #[derive(Deserialize, Validate)]
    struct Any {
        #[garde(skip)]
        #[allow(dead_code)]
        a: u8,
    }
    let body = [Step::Data("{\"a\":"), Step::Wait, Step::Data("1}")];
    Contract::new(|| {
        Request::post("/")
            .header("content-type", "application/json")
            .body(Script::from_steps(body.clone()))
            .unwrap()
    })
    .check(ValidateLayer::<Any>::new);
}

#[cfg(feature = "axum")]
mod extractors {
    use axum::{Json, Router, extract::Query, routing::post};
    use palisade_validate::Valid;

    use super::*;

    #[derive(Debug, Deserialize, Validate, serde::Serialize)]
    struct Search {
        #[garde(length(chars, min = 1))]
        q: String,
        #[garde(range(min = 1))]
        #[serde(default = "one")]
        page: u32,
        #[garde(range(max = 100))]
        limit: Option<u32>,
        #[garde(skip)]
        #[serde(default)]
        exact: bool,
        #[garde(skip)]
        #[serde(default)]
        tag: Vec<u8>,
    }

    fn one() -> u32 {
        1
    }

    fn app() -> Router {
        let create = |Valid(Json(order)): Valid<Json<Order>>| async move { order.name };
        let search = |Valid(Query(search)): Valid<Query<Search>>| async move { Json(search) };
        Router::new().route("/", post(create).get(search))
    }

    async fn answer(app: Router, request: Request<axum::body::Body>) -> (StatusCode, Value) {
        let response = app.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        (status, serde_json::from_slice(&body).unwrap_or(Value::String(text)))
    }

    async fn search(query: &str) -> (StatusCode, Value) {
        answer(app(), Request::get(format!("/?{query}")).body(axum::body::Body::empty()).unwrap())
            .await
    }

    #[tokio::test]
    async fn query_values_are_converted_to_the_types_of_the_struct() {
        let (status, body) = search("q=a%20b&exact=true&tag=1&tag=2&limit=100").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let expected = serde_json::json!(
            {"q": "a b", "page": 1, "limit": 100, "exact": true, "tag": [1, 2]}
        );
        assert_eq!(body, expected);
        assert_eq!(search("q=x&tag=7").await.1["tag"], serde_json::json!([7]));
    }

    #[tokio::test]
    async fn all_issues_of_a_query_are_reported_at_once() {
        let (status, body) = search("page=0&limit=101&exact=maybe&tag=1&tag=x").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let expected = ["exact wrong_type", "q missing", "tag[1] wrong_type"];
        assert_eq!(paths_and_codes(&body), expected);
        assert_eq!(paths_and_codes(&search("q=a&q=b").await.1), ["q wrong_type"]);
        assert_eq!(paths_and_codes(&search("q=a&page=-1").await.1), ["page wrong_type"]);
        assert_eq!(search(&"a=1&".repeat(1001)).await.0, StatusCode::BAD_REQUEST);
    }

    fn order(content_type: &str, body: &'static str) -> Request<axum::body::Body> {
        Request::post("/").header("content-type", content_type).body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn json_extractor_responds_like_the_layer() {
        assert_eq!(answer(app(), order("application/json", GOOD)).await.0, StatusCode::OK);
        let (status, body) = answer(app(), order("application/json", "{}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(body["error"]["issues"].as_array().unwrap().len(), 4);
        assert_eq!(answer(app(), order("text/plain", GOOD)).await.0.as_u16(), 415);
        let long = order("application/json", Box::leak("[".repeat(3_000_000).into_boxed_str()));
        assert_eq!(answer(app(), long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn outer_settings_apply_to_the_extractors() {
        let settings = Validation::new().status(StatusCode::UNPROCESSABLE_ENTITY);
        let app = app().layer(settings.layer());
        assert_eq!(answer(app, order("application/json", "{}")).await.0.as_u16(), 422);
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_json_never_panics(body in "[\\[\\]{}\":,a-z0-9 .-]{0,60}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(send(&body));
    }
}
