//! Texts of a head or a form that are not what they should be: said once, and by whom it concerns.

#![cfg(feature = "axum")]

use axum::{
    Form, Json, Router,
    body::Body,
    extract::{Path, Query},
    routing::{get, post},
};
use bytes::Bytes;
use garde::Validate;
use http::{HeaderValue, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Channel};
use palisade_core::{ApiError, IssueView};
use palisade_validate::{Cookies, Headers, Valid, Validation};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;

#[derive(Debug, Deserialize, Validate)]
struct Named {
    #[garde(length(chars, min = 1))]
    name: String,
    #[garde(length(chars, min = 2))]
    #[serde(default)]
    nick_name: String,
}

async fn send(app: Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    (status, serde_json::from_slice(&body).unwrap_or(Value::String(text)))
}

fn issues(body: &Value) -> Vec<String> {
    let issues = body["error"]["issues"].as_array().unwrap_or_else(|| panic!("{body}"));
    let text = |issue: &Value, name: &str| issue[name].as_str().unwrap().to_owned();
    issues
        .iter()
        .map(|issue| [text(issue, "source"), text(issue, "path"), text(issue, "code")].join(" "))
        .collect()
}

fn app() -> Router {
    Router::new()
        .route("/headers", get(async |Valid(Headers(all)): Valid<Headers<Named>>| all.name))
        .route("/cookies", get(async |Valid(Cookies(all)): Valid<Cookies<Named>>| all.name))
        .route("/query", get(async |Valid(Query(all)): Valid<Query<Named>>| all.name))
        .route("/form", post(async |Valid(Form(all)): Valid<Form<Named>>| all.name))
}

#[tokio::test]
async fn invalid_utf8_in_a_required_field_is_one_issue() {
    let get = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
    let mut headers = get("/headers");
    headers.headers_mut().insert("name", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    headers.headers_mut().insert("nick-name", HeaderValue::from_bytes(b"\xe9").unwrap());
    let mut cookies = get("/cookies");
    cookies.headers_mut().insert("cookie", HeaderValue::from_static("name=caf%E9; nick_name=%E9"));
    let form = Request::post("/form")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("name=caf%E9&nick_name=%E9"))
        .unwrap();
    for (request, expected) in [
        (headers, ["headers name wrong_type", "headers nick-name wrong_type"]),
        (cookies, ["cookie name wrong_type", "cookie nick_name wrong_type"]),
        (
            get("/query?name=caf%E9&nick_name=%E9"),
            ["query name wrong_type", "query nick_name wrong_type"],
        ),
        (form, ["form name wrong_type", "form nick_name wrong_type"]),
    ] {
        let (status, body) = send(app(), request).await;
        assert_eq!(
            (status, issues(&body)),
            (StatusCode::BAD_REQUEST, expected.map(str::to_owned).into())
        );
    }
}

#[tokio::test]
async fn unusual_but_valid_utf8_is_accepted_unchanged() {
    for (query, name) in [
        ("name=caf%C3%A9&nick_name=ab", "caf\u{e9}"),
        ("name=%EF%BF%BD&nick_name=ab", "\u{fffd}"),
        ("name=%zz+%2B%&nick_name=ab", "%zz +%"),
        ("&&name=a%00b&nick_name=ab&%FF=%FF&x", "a\0b"),
    ] {
        let request = Request::get(format!("/query?{query}")).body(Body::empty()).unwrap();
        assert_eq!(send(app(), request).await, (StatusCode::OK, name.into()), "{query}");
    }
}

#[tokio::test]
async fn unused_path_parameters_are_never_unknown_fields() {
    #[derive(Debug, Deserialize, Validate)]
    struct Item {
        #[garde(skip)]
        item: u32,
    }
    let show = async |Valid(Path(path)): Valid<Path<Item>>| path.item.to_string();
    let app = Router::new()
        .route("/{shop}/{item}", get(show))
        .layer(Validation::new().deny_unknown_fields().layer());
    let request = Request::get("/1/2").body(Body::empty()).unwrap();
    assert_eq!(send(app, request).await, (StatusCode::OK, 2.into()));
}

#[tokio::test]
async fn issues_with_a_body_error_use_the_view_and_are_truncated() {
    #[derive(Debug, Deserialize, Validate)]
    struct Numbers {
        #[garde(skip)]
        #[serde(rename = "n")]
        _n: Vec<u8>,
    }
    #[derive(Debug, Deserialize, Validate)]
    struct Any {}
    let take = async |Valid((Query(_), Json(_))): Valid<(Query<Numbers>, Json<Any>)>| ();
    let app =
        Router::new().route("/", post(take)).layer(Validation::new().view(IssueView::Flat).layer());
    let uri = format!("/?{}", "n=x&".repeat(65));
    let request = Request::post(uri)
        .header("content-type", "application/json")
        .body(Body::from("{"))
        .unwrap();
    let (status, body) = send(app, request).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::BAD_REQUEST, &"INVALID_JSON".into()));
    assert_eq!(body["error"]["truncated"], true, "{body}");
    assert!(body["error"]["fieldErrors"]["n"].is_array(), "{body}");
}

#[tokio::test]
async fn error_of_an_outer_layer_in_the_body_is_the_response() {
    let failed = |error: ApiError| {
        let (mut sender, body) = Channel::<Bytes, ApiError>::new(1);
        let _ = sender.try_send(Frame::data(Bytes::from_static(b"na")));
        sender.abort(error);
        Body::new(body)
    };
    let json = async |Valid(Json(all)): Valid<Json<Named>>| all.name;
    let app = || app().route("/json", post(json));
    for (path, media_type) in
        [("/json", "application/json"), ("/form", "application/x-www-form-urlencoded")]
    {
        for (error, status) in [
            (ApiError::request_timeout(), StatusCode::REQUEST_TIMEOUT),
            (ApiError::payload_too_large(), StatusCode::PAYLOAD_TOO_LARGE),
            (ApiError::unsupported_media_type(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ] {
            let request = Request::post(path).header("content-type", media_type);
            let request = request.body(failed(error.clone())).unwrap();
            let (answered, body) = send(app(), request).await;
            assert_eq!((answered, &body["error"]["code"]), (status, &error.code().into()));
        }
    }
}
