//! JSON Schema as the other way to say what is expected.

#![cfg(feature = "json-schema")]

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use palisade_core::{Body, BodyPolicyLayer};
use palisade_validate::{JsonSchema, Validated, Validation};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

fn schema() -> JsonSchema {
    JsonSchema::compile(&json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["name", "items"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 5},
            "email": {"type": "string", "format": "email"},
            "color": {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
            "size": {"enum": ["s", "m"]},
            "items": {"type": "array", "maxItems": 100, "items": {
                "type": "object", "properties": {"price": {"type": "number", "minimum": 1, "multipleOf": 0.5}},
            }},
            "either": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        },
    }))
    .unwrap()
}

fn issues(value: &Value) -> Vec<String> {
    let error = schema().check(value).unwrap_err();
    assert_eq!(error.code(), "VALIDATION_ERROR");
    let mut issues: Vec<_> = error
        .issues()
        .iter()
        .map(|issue| format!("{} {} {}", issue.path, issue.pointer.as_deref().unwrap(), issue.code))
        .collect();
    issues.sort();
    issues
}

#[test]
fn schema_issues_are_worded_like_those_of_types() {
    assert!(schema().check(&json!({"name": "lamp", "items": [{"price": 1.5}]})).is_ok());
    let bad = json!({
        "name": "much too long", "email": "nobody", "color": "red", "size": "xl", "either": [],
        "items": [{"price": 1}, {"price": 0.25}], "a/b": 1,
    });
    assert_eq!(
        issues(&bad),
        [
            "a/b /a~1b unknown_field",
            "color /color invalid_format",
            "either /either wrong_type",
            "email /email invalid_email",
            "items[1].price /items/1/price not_multiple_of",
            "items[1].price /items/1/price too_small",
            "name /name too_long",
            "size /size invalid_option",
        ]
    );
    assert_eq!(issues(&json!({})), ["items /items missing", "name /name missing"]);
    assert_eq!(issues(&json!([])), ["  wrong_type"]);
}

#[test]
fn expected_type_is_reported_as_for_types() {
    let expected = |types: Value| {
        let schema = JsonSchema::compile(&json!({"type": types})).unwrap();
        schema.check(&json!(null)).unwrap_err().issues()[0].params["expected"].clone()
    };
    assert_eq!(expected(json!("integer")), "integer");
    assert_eq!(expected(json!(["integer", "string"])), json!(["integer", "string"]));
}

#[test]
fn messages_contain_no_values_or_patterns() {
    let bad = json!({"name": "hunter2hunter2", "color": "hunter2", "email": "hunter2", "size": "hunter2", "items": "hunter2"});
    let text = serde_json::to_string(schema().check(&bad).unwrap_err().issues()).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("0-9a-f"), "{text}");
}

#[test]
fn issue_list_is_truncated_at_64() {
    let items = vec![json!({"price": 0}); 1_000];
    let error = schema().check(&json!({"name": "a", "items": items})).unwrap_err();
    assert_eq!((error.issues().len(), error.issues_are_truncated()), (64, true));
}

#[test]
fn bodies_are_as_strict_as_for_types() {
    assert!(schema().json(br#"{"name":"a","items":[]}"#).is_ok());
    for bad in [&br#"{"name":"a","name":"b","items":[]}"#[..], b"", b"{", b"\xff"] {
        assert_eq!(schema().json(bad).unwrap_err().code(), "INVALID_JSON");
    }
}

#[test]
fn external_references_are_not_loaded() {
    for reference in [
        "https://example.com/schema.json",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "other.json",
    ] {
        let error = JsonSchema::compile(&json!({"$ref": reference})).unwrap_err();
        assert_eq!(error.setting(), "schema", "{reference}");
    }
    let own = json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}});
    assert!(JsonSchema::compile(&own).unwrap().check(&json!(1)).is_err());
}

#[test]
fn invalid_schemas_are_config_errors() {
    for bad in
        [json!({"type": "strin"}), json!({"pattern": "("}), json!({"pattern": "(?=a)"}), json!(5)]
    {
        assert!(JsonSchema::compile(&bad).is_err(), "{bad}");
    }
    // `dependencies` is a word of draft 7, and means nothing in 2020-12
    let draft = |name: &str| json!({"$schema": name, "dependencies": {"a": ["b"]}});
    for other in ["http://json-schema.org/draft-07/schema#", "https://example.com/meta", ""] {
        let error = JsonSchema::compile(&draft(other)).unwrap_err();
        assert!(error.to_string().contains("2020-12"), "{error}");
    }
    let own = "https://json-schema.org/draft/2020-12/schema";
    for own in [own, &format!("{own}#")] {
        assert!(JsonSchema::compile(&draft(own)).is_ok());
    }
}

#[test]
fn pattern_takes_linear_time() {
    let schema = JsonSchema::compile(&json!({"type": "string", "pattern": "^(a+)+$"})).unwrap();
    assert!(schema.check(&json!(format!("{}!", "a".repeat(100_000)))).is_err());
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
        let _ = schema().json(&body);
    }
}

async fn ask(layer: BodyPolicyLayer<JsonSchema>, request: Request<Full<Bytes>>) -> (u16, Bytes) {
    let echo = service_fn(|request: Request<Body<Full<Bytes>>>| async move {
        let name = Validated::<Value>::from_extensions(request.extensions())
            .map(|value| value["name"].clone());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let answer = format!("{name:?} {}", String::from_utf8_lossy(&body));
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
    });
    let response = layer.layer(echo).oneshot(request).await.unwrap();
    (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn layer_passes_the_value_and_bytes_and_checks_bodies_only() {
    let send = async |method: &str, content_type: &str, body: &'static str| {
        let request = Request::builder().method(method).header("content-type", content_type);
        let layer = schema().settings(Validation::new().status(StatusCode::UNPROCESSABLE_ENTITY));
        ask(layer.layer(30), request.body(Full::from(body)).unwrap()).await
    };
    let json = "application/json";
    let good = r#"{ "name": "a", "items": [] }"#;
    let expected = format!("Some(String(\"a\")) {good}");
    assert_eq!(send("POST", json, good).await, (200, expected.into()));
    for method in ["GET", "DELETE"] {
        assert_eq!(send(method, "text/plain", "x").await, (200, "None x".into()));
    }
    assert_eq!(send("POST", "text/plain", good).await.0, 415);
    assert_eq!(send("POST", json, "{}").await.0, 422);
    assert_eq!(send("POST", json, "{").await.0, 400);
    assert_eq!(send("POST", json, r#"{"name":"abc","items":[1,2,3]} "#).await.0, 413);
}

#[cfg(all(feature = "axum", feature = "schemars"))]
#[tokio::test]
async fn extractor_with_schema_reports_exact_places() {
    use axum::{Router, routing::post};
    use garde::Validate;
    use palisade_validate::{SchemaJson, Valid};
    use schemars::JsonSchema;
    use serde::Deserialize;

    #[derive(Deserialize, JsonSchema, Validate)]
    #[serde(tag = "kind", rename_all = "camelCase")]
    enum Payment {
        Card {
            #[garde(length(min = 4))]
            number: String,
        },
    }

    async fn pay(
        Valid(SchemaJson(Payment::Card { number })): Valid<SchemaJson<Payment>>,
    ) -> String {
        number
    }

    let app = Router::<()>::new().route("/", post(pay));
    let send = async |kind: &'static str, body: &'static str| {
        let request = Request::post("/")
            .header("content-type", kind)
            .body(axum::body::Body::from(body))
            .unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        (response.status(), response.into_body().collect().await.unwrap().to_bytes())
    };
    let json = "application/json";
    assert_eq!(
        send(json, r#"{"kind":"card","number":"1234"}"#).await,
        (StatusCode::OK, "1234".into())
    );
    assert_eq!(send("text/plain", "{}").await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (status, body) = send(json, r#"{"kind":"card","number":7}"#).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &body["error"]["issues"][0]["path"]),
        (StatusCode::BAD_REQUEST, &json!("number"))
    );
}
