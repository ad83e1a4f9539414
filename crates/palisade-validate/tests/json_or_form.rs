//! One body that may be JSON or a form: the same value, and the same issues, however it is sent.

#![cfg(feature = "multipart")]

use axum::{Form, Json, Router, body::Body, extract::DefaultBodyLimit, routing::post};
use bytes::Bytes;
use garde::Validate;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, channel::Channel};
use palisade_validate::{JsonOrForm, Multipart, Uploads, Valid, Validation};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[garde(length(chars, min = 1, max = 10))]
    text: String,
    #[garde(range(min = 1, max = 5))]
    star_count: u8,
    #[garde(length(max = 2))]
    #[serde(default)]
    tags: Vec<String>,
}

fn shown(message: &Message) -> String {
    format!("{} {} {:?}", message.text, message.star_count, message.tags)
}

fn app() -> Router {
    Router::new()
        .route(
            "/either",
            post(async |Valid(JsonOrForm(it)): Valid<JsonOrForm<Message>>| shown(&it))
                .get(async |Valid(JsonOrForm(it)): Valid<JsonOrForm<Message>>| shown(&it)),
        )
        .route("/json", post(async |Valid(Json(it)): Valid<Json<Message>>| shown(&it)))
        .route("/form", post(async |Valid(Form(it)): Valid<Form<Message>>| shown(&it)))
        .route("/parts", post(async |Valid(form): Valid<Multipart<Message>>| shown(&form.fields)))
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const PARTS: &str = "multipart/form-data; boundary=B";

async fn send(
    app: Router,
    path: &str,
    content_type: &str,
    body: impl Into<Body>,
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::post(path);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    let response = app.oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn parts(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--B\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).collect::<String>() + "--B--\r\n"
}

/// `path code` of each issue.
fn issues(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body).unwrap();
    let issues = body["error"]["issues"].as_array().unwrap_or_else(|| panic!("{body}"));
    let text = |issue: &Value, name: &str| issue[name].as_str().unwrap().to_owned();
    issues.iter().map(|issue| text(issue, "path") + " " + &text(issue, "code")).collect()
}

#[tokio::test]
async fn each_content_type_becomes_the_same_value() {
    let multipart =
        parts(&[(r#"name="text""#, "hi"), (r#"name="starCount""#, "4"), (r#"name="tags""#, "a")]);
    for (content_type, body) in [
        (JSON, r#"{"text": "hi", "starCount": 4, "tags": ["a"]}"#),
        ("application/vnd.api+json; charset=utf-8", r#"{"text":"hi","starCount":4,"tags":["a"]}"#),
        (FORM, "text=hi&starCount=4&tags=a"),
        ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", "text=hi&starCount=4&tags=a"),
        (PARTS, &multipart),
    ] {
        let (status, _, body) = send(app(), "/either", content_type, body.to_owned()).await;
        assert_eq!((status.as_u16(), &*body), (200, r#"hi 4 ["a"]"#), "{content_type}");
    }
}

#[tokio::test]
async fn rejections_equal_those_of_each_extractor() {
    let wrong = parts(&[(r#"name="text""#, ""), (r#"name="starCount""#, "9")]);
    let mistyped = parts(&[(r#"name="starCount""#, "many")]);
    for (path, content_type, body) in [
        ("/json", JSON, r#"{"text": "", "starCount": 9}"#),
        ("/json", JSON, r#"{"starCount": "4"}"#),
        ("/json", JSON, r#"{"text": "hi""#),
        ("/json", JSON, ""),
        ("/form", FORM, "text=&starCount=9"),
        ("/form", FORM, "starCount=many"),
        ("/form", FORM, ""),
        ("/parts", PARTS, &wrong),
        ("/parts", PARTS, &mistyped),
        ("/parts", PARTS, ""),
        ("/parts", "multipart/form-data", &wrong),
    ] {
        let own = send(app(), path, content_type, body.to_owned()).await;
        let either = send(app(), "/either", content_type, body.to_owned()).await;
        assert_eq!((either.0, &either.2), (own.0, &own.2), "{content_type} {body}");
        assert_eq!(either.0, StatusCode::BAD_REQUEST);
    }
    let (_, _, body) = send(app(), "/either", FORM, "text=&starCount=9").await;
    assert_eq!(issues(&body), ["text too_short", "starCount too_big"]);
}

#[tokio::test]
async fn other_content_types_are_rejected_with_the_accepted_ones() {
    for content_type in
        ["", "text/plain", "application/json; charset=latin1", "multipart/mixed; boundary=B"]
    {
        let (status, headers, body) = send(app(), "/either", content_type, "text=hi").await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert_eq!(
            headers["accept"],
            "application/json, application/x-www-form-urlencoded, multipart/form-data"
        );
        assert!(body.contains("application/json` or `application/x-www"), "{body}");
    }
    let twice = Request::post("/either")
        .header("content-type", JSON)
        .header("content-type", FORM)
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(app().oneshot(twice).await.unwrap().status(), 415);
}

#[tokio::test]
async fn form_in_the_query_of_get_and_head_is_read() {
    for method in ["GET", "HEAD"] {
        let request = Request::builder().method(method).uri("/either?text=hi&starCount=4");
        let response = app().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "{method}");
    }
}

#[tokio::test]
async fn file_is_rejected_even_inside_an_uploads_layer() {
    let file = parts(&[
        (r#"name="text""#, "hi"),
        (r#"name="starCount""#, "4"),
        (r#"name="photo"; filename="a.txt""#, "hello"),
    ]);
    let uploads = Uploads::builder().require_file("photo").build().unwrap();
    for app in [app(), app().layer(uploads.layer())] {
        let (status, _, body) = send(app, "/either", PARTS, file.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(issues(&body), ["photo too_many_files"]);
    }
}

#[tokio::test]
async fn one_limit_applies_to_every_content_type() {
    let long = "x".repeat(2000);
    let multipart = parts(&[(r#"name="text""#, &long)]);
    for (content_type, body) in [
        (JSON, format!(r#"{{"text": "{long}"}}"#)),
        (FORM, format!("text={long}")),
        (PARTS, multipart),
    ] {
        // With a declared length, and without.
        let (mut sender, streamed) = Channel::<Bytes>::new(64);
        for chunk in body.as_bytes().chunks(100) {
            sender.send_data(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        drop(sender);
        for body in [Body::from(body), Body::new(streamed)] {
            let app = app().layer(DefaultBodyLimit::max(1024));
            let (status, _, body) = send(app, "/either", content_type, body).await;
            assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{content_type} {body}");
        }
    }
}

#[tokio::test]
async fn settings_apply_to_every_content_type() {
    let unknown = parts(&[(r#"name="rank""#, "1")]);
    for (content_type, body) in
        [(JSON, r#"{"rank": 1}"#), (FORM, "rank=1"), (PARTS, unknown.as_str())]
    {
        let settings = Validation::new().status(StatusCode::UNPROCESSABLE_ENTITY);
        let app = app().layer(settings.deny_unknown_fields().layer());
        let (status, _, body) = send(app, "/either", content_type, body.to_owned()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let mut issues = issues(&body);
        issues.sort();
        assert_eq!(issues, ["rank unknown_field", "starCount missing", "text missing"]);
    }
}

#[cfg(feature = "aide")]
#[test]
fn openapi_lists_every_content_type() {
    use aide::{OperationInput, generate::GenContext, openapi::Operation};

    #[derive(Deserialize, schemars::JsonSchema, Validate)]
    #[allow(dead_code)]
    struct Described {
        #[garde(length(min = 1))]
        text: String,
    }

    let mut operation = Operation::default();
    aide::generate::in_context(|context: &mut GenContext| {
        Valid::<JsonOrForm<Described>>::operation_input(context, &mut operation);
    });
    let body = serde_json::to_value(operation).unwrap()["requestBody"].clone();
    assert_eq!(body["required"], true);
    for media_type in [JSON, FORM, "multipart/form-data"] {
        let schema = &body["content"][media_type]["schema"];
        let is_described = schema["$ref"].is_string() || schema["properties"].is_object();
        assert!(is_described, "{media_type}: {body}");
    }
}
