//! axum's extractors, checked, and reported together.

#![cfg(feature = "axum")]

use axum::{
    Form, Json, Router,
    body::Body,
    extract::{Path, Query},
    routing::{get, post},
};
use garde::Validate;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use palisade_core::{IssueView, SystemClock, Trail};
use palisade_validate::{Cookies, Headers, RuleContext, Valid, Validation};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;

#[derive(Debug, Deserialize, Validate)]
struct Shop {
    #[garde(range(min = 1))]
    shop_id: u32,
}

#[derive(Debug, Deserialize, Validate)]
struct Options {
    #[garde(range(min = 1))]
    #[serde(default = "one")]
    copies: u32,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Deserialize, Validate)]
struct Needed {
    #[garde(range(max = 3))]
    x_api_version: u8,
    #[garde(skip)]
    #[serde(default)]
    x_tag: Vec<u8>,
}

#[derive(Debug, Deserialize, Validate)]
struct Item {
    #[garde(length(chars, min = 1))]
    name: String,
}

type Everything = Valid<(Path<Shop>, Query<Options>, Headers<Needed>, Json<Item>)>;

async fn create(
    Valid((Path(shop), Query(options), Headers(needed), Json(item))): Everything,
) -> String {
    format!(
        "{} {} {} {:?} {}",
        shop.shop_id, options.copies, needed.x_api_version, needed.x_tag, item.name
    )
}

async fn show(Valid((Path(shop), Query(options))): Valid<(Path<Shop>, Query<Options>)>) -> String {
    format!("{} {}", shop.shop_id, options.copies)
}

async fn sign_up(Valid(Form(item)): Valid<Form<Item>>) -> String {
    item.name
}

struct Limits {
    longest: usize,
}

#[derive(Debug, Deserialize, Validate)]
#[garde(context(Limits as limits))]
struct Note {
    #[garde(length(chars, max = limits.longest))]
    text: String,
}

async fn note(Valid(Json(note)): Valid<Json<Note>>) -> String {
    note.text
}

fn app() -> Router {
    Router::new()
        .route("/shops/{shop_id}/items", post(create).get(show))
        .route("/signup", post(sign_up).get(sign_up))
        .route("/notes", post(note))
}

async fn send(app: Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    (status, serde_json::from_slice(&body).unwrap_or(Value::String(text)))
}

/// `source path code` of each issue.
fn issues(body: &Value) -> Vec<String> {
    let text = |issue: &Value, name: &str| issue[name].as_str().unwrap().to_owned();
    let issues = body["error"]["issues"].as_array().unwrap_or_else(|| panic!("{body}"));
    issues
        .iter()
        .map(|issue| [text(issue, "source"), text(issue, "path"), text(issue, "code")].join(" "))
        .collect()
}

fn item(uri: &str, version: &str, body: &str) -> Request<Body> {
    Request::post(uri)
        .header("content-type", "application/json")
        .header("x-api-version", version)
        .body(body.to_owned().into())
        .unwrap()
}

#[tokio::test]
async fn path_query_headers_and_body_are_reported_together() {
    let good = item("/shops/7/items?copies=2", "3", r#"{"name":"lamp"}"#);
    assert_eq!(send(app(), good).await, (StatusCode::OK, json!("7 2 3 [] lamp")));
    let bad = item("/shops/0/items?copies=none", "4", r#"{"name":""}"#);
    let (status, body) = send(app(), bad).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        issues(&body),
        [
            "path shop_id too_small",
            "query copies wrong_type",
            "headers x-api-version too_big",
            "body name too_short"
        ]
    );
    assert_eq!(body["error"]["issues"][2]["pointer"], "/x-api-version");
}

#[tokio::test]
async fn heads_are_reported_together_without_a_body() {
    let get = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
    assert_eq!(send(app(), get("/shops/7/items")).await.1, json!("7 1"));
    let (_, body) = send(app(), get("/shops/x/items?copies=0")).await;
    assert_eq!(issues(&body), ["path shop_id wrong_type", "query copies too_small"]);
    assert_eq!(send(app(), get("/shops/%ff/items")).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn body_error_precedes_issues_of_the_path() {
    let (status, body) = send(app(), item("/shops/0/items", "1", "{")).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (400, &json!("INVALID_JSON")));
    assert_eq!(issues(&body), ["path shop_id too_small"]);
    let text = Request::post("/shops/1/items")
        .header("x-api-version", "1")
        .header("content-type", "text/plain");
    let response = app().oneshot(text.body(Body::from(r#"{"name":"a"}"#)).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(response.headers()["accept"], "application/json");
}

#[tokio::test]
async fn repeated_headers_become_lists_and_unread_ones_are_ignored() {
    let mut request = item("/shops/1/items", "1", r#"{"name":"a"}"#);
    for tag in ["1", "2"] {
        request.headers_mut().append("x-tag", tag.parse().unwrap());
    }
    request.headers_mut().append("x-secret", http::HeaderValue::from_bytes(b"\xff").unwrap());
    let strict = app().layer(Validation::new().deny_unknown_fields().layer());
    assert_eq!(send(strict, request).await.1, json!("1 1 1 [1, 2] a"));
    let mut request = item("/shops/1/items", "1", r#"{"name":"a"}"#);
    request.headers_mut().remove("x-api-version");
    assert_eq!(issues(&send(app(), request).await.1), ["headers x-api-version missing"]);
    let mut request = item("/shops/1/items", "1", r#"{"name":"a"}"#);
    request.headers_mut().insert("x-tag", http::HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(issues(&send(app(), request).await.1), ["headers x-tag wrong_type"]);
}

#[tokio::test]
async fn form_is_read_from_a_body_or_the_query_of_a_get() {
    let form = |content_type: &str, body: &str| {
        Request::post("/signup")
            .header("content-type", content_type)
            .body(body.to_owned().into())
            .unwrap()
    };
    let urlencoded = "application/x-www-form-urlencoded";
    assert_eq!(send(app(), form(urlencoded, "name=ada+l")).await.1, json!("ada l"));
    assert_eq!(issues(&send(app(), form(urlencoded, "name=")).await.1), ["form name too_short"]);
    assert_eq!(send(app(), form("application/json", "name=a")).await.0.as_u16(), 415);
    assert_eq!(send(app(), form(urlencoded, &"a=1&".repeat(1_001))).await.0.as_u16(), 400);
    let get = Request::get("/signup?name=ada").body(Body::empty()).unwrap();
    assert_eq!(send(app(), get).await.1, json!("ada"));
}

#[tokio::test]
async fn rules_receive_the_context_of_the_request() {
    let note = || {
        Request::post("/notes")
            .header("content-type", "application/json")
            .body(r#"{"text":"hello"}"#.into())
            .unwrap()
    };
    let generous = app().layer(RuleContext::new(Limits { longest: 5 }).layer());
    assert_eq!(send(generous, note()).await.1, json!("hello"));
    let (_, refused) =
        send(app().layer(RuleContext::new(Limits { longest: 4 }).layer()), note()).await;
    assert_eq!(refused["error"]["issues"][0]["params"], json!({"max": 4}));
    // and nothing is made up for them
    let (status, forgotten) = send(app(), note()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!forgotten.to_string().contains("Limits"), "{forgotten}");
}

#[tokio::test]
async fn issue_view_is_configurable() {
    let bad = || item("/shops/0/items?copies=0", "1", r#"{"name":""}"#);
    let (_, flat) = send(app().layer(Validation::new().view(IssueView::Flat).layer()), bad()).await;
    assert_eq!(flat["error"]["formErrors"], json!([]));
    assert_eq!(flat["error"]["fieldErrors"]["copies"], json!(["must be at least 1"]));
    assert!(flat["error"].get("issues").is_none());
    let (_, tree) = send(app().layer(Validation::new().view(IssueView::Tree).layer()), bad()).await;
    assert_eq!(
        tree["error"]["tree"]["properties"]["shop_id"]["errors"],
        json!(["must be at least 1"])
    );
}

#[derive(Debug, Deserialize, Validate)]
#[garde(transparent)]
struct ShopId(#[garde(range(min = 1))] u32);

#[derive(Debug, Deserialize, Validate)]
#[garde(transparent)]
struct Name(#[garde(length(chars, max = 5))] String);

#[derive(Clone, Copy, Debug, Deserialize, Validate)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Lamp,
    Chair,
}

fn paths() -> Router {
    Router::new()
        .route(
            "/tuple/{shop_id}/{item}",
            get(async |Valid(Path((shop, name))): Valid<Path<(ShopId, Name)>>| {
                format!("{} {}", shop.0, name.0)
            }),
        )
        .route(
            "/one/{shop_id}",
            get(async |Valid(Path(shop)): Valid<Path<ShopId>>| shop.0.to_string()),
        )
        .route("/text/{item}", get(async |Valid(Path(name)): Valid<Path<Name>>| name.0))
        .route(
            "/kind/{kind}",
            get(async |Valid(Path(kind)): Valid<Path<Kind>>| format!("{kind:?}")),
        )
        .route(
            "/list/{a}/{b}/{c}",
            get(async |Valid(Path(all)): Valid<Path<Vec<ShopId>>>| all.len().to_string()),
        )
        .route("/wrong/{a}/{b}", get(async |_: Valid<Path<ShopId>>| "not reached"))
        .route("/wrong/{a}", get(async |_: Valid<Path<(ShopId, Name)>>| "not reached"))
}

async fn get_path(path: &str) -> (StatusCode, Value) {
    send(paths(), Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn path_parameters_are_read_by_position_and_reported_by_name() {
    assert_eq!(get_path("/tuple/7/a%2Fb").await.1, json!("7 a/b"));
    let (_, wrong) = get_path("/tuple/0/abcdef").await;
    assert_eq!(issues(&wrong), ["path shop_id too_small", "path item too_long"]);
    assert_eq!(wrong["error"]["issues"][1]["pointer"], "/item");
    let (_, wrong) = get_path("/tuple/x/abcdef").await;
    assert_eq!(issues(&wrong), ["path shop_id wrong_type"]);
    assert_eq!(get_path("/list/1/2/3").await.1, json!(3));
    assert_eq!(issues(&get_path("/list/1/0/3").await.1), ["path b too_small"]);
}

#[tokio::test]
async fn single_path_parameter_needs_no_struct() {
    assert_eq!(get_path("/one/7").await.1, json!(7));
    assert_eq!(issues(&get_path("/one/0").await.1), ["path shop_id too_small"]);
    assert_eq!(issues(&get_path("/one/x").await.1), ["path shop_id wrong_type"]);
    assert_eq!(get_path("/text/17").await.1, json!(17));
    assert_eq!(issues(&get_path("/text/abcdef").await.1), ["path item too_long"]);
    assert_eq!(get_path("/kind/lamp").await.1, json!("Lamp"));
    assert_eq!(issues(&get_path("/kind/sofa").await.1), ["path kind invalid_option"]);
}

#[tokio::test]
async fn route_that_does_not_match_its_handler_is_500() {
    for path in ["/wrong/1/2", "/wrong/1"] {
        assert_eq!(get_path(path).await.0, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
}

#[derive(Debug, Deserialize, Validate)]
struct Preferences {
    #[garde(range(min = 1, max = 100))]
    #[serde(rename = "page-size")]
    page_size: u8,
    #[garde(skip)]
    #[serde(default)]
    dark: bool,
    #[garde(length(chars, max = 9))]
    city: Option<String>,
    #[garde(skip)]
    #[serde(default)]
    tag: Vec<u8>,
}

async fn with_cookies(fields: &[&[u8]]) -> (StatusCode, Value) {
    let show =
        async |Valid((Path(shop), Cookies(all))): Valid<(Path<ShopId>, Cookies<Preferences>)>| {
            format!("{} {} {} {:?} {:?}", shop.0, all.page_size, all.dark, all.city, all.tag)
        };
    let app = Router::new()
        .route("/{shop}", get(show))
        .layer(Validation::new().deny_unknown_fields().layer());
    let mut request = Request::get("/1").body(Body::empty()).unwrap();
    for field in fields {
        request.headers_mut().append("cookie", http::HeaderValue::from_bytes(field).unwrap());
    }
    send(app, request).await
}

#[tokio::test]
async fn cookies_are_converted_to_the_types_of_the_struct() {
    let (_, all) =
        with_cookies(&[b"page-size=20; dark=true; city=Z%C3%BCrich; tag=1; tag=2"]).await;
    assert_eq!(all, json!(r#"1 20 true Some("Zürich") [1, 2]"#));
    // in several fields, beside headers that the type does not ask for, and with letters that are not its name's
    let (_, few) = with_cookies(&[b"_ga=\xff; PAGE-SIZE=7; page_size=8", b"page-size=9"]).await;
    assert_eq!(few, json!("1 9 false None []"));
    let (_, wrong) = with_cookies(&[b"page-size=101; dark=maybe; city=%ff"]).await;
    assert_eq!(issues(&wrong), ["cookie city wrong_type", "cookie dark wrong_type"]);
    assert_eq!(issues(&with_cookies(&[]).await.1), ["cookie page-size missing"]);
    assert!(!wrong.to_string().contains("maybe"));
}

#[tokio::test]
async fn duplicate_and_lookalike_cookies_are_not_accepted() {
    let (_, twice) = with_cookies(&[b"page-size=1; page-size=2"]).await;
    assert_eq!(issues(&twice), ["cookie page-size wrong_type"]);
    for other in
        [&b"\xe2\x80\x80page-size=1"[..], b"page-size =1", b"a=\"; page-size", b"\xa0page-size=1"]
    {
        assert_eq!(issues(&with_cookies(&[other]).await.1), ["cookie page-size missing"]);
    }
}

#[tokio::test]
async fn validation_rejection_is_recorded_on_the_trail() {
    let app = || Router::new().route("/", post(|_: Valid<Json<Item>>| async {}));
    for (body, expected) in [
        ("{\"name\":\"\"}", Some("Validation=refused(VALIDATION_ERROR)")),
        ("{", Some("Validation=refused(INVALID_JSON)")),
        ("{\"name\":\"lamp\"}", None),
    ] {
        let trail = Trail::new(SystemClock::shared());
        let mut request = Request::post("/").header("content-type", "application/json");
        request.extensions_mut().unwrap().insert(trail.clone());
        app().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let steps: Vec<_> = trail.steps().iter().map(ToString::to_string).collect();
        assert_eq!(steps, Vec::from_iter(expected), "{body}");
    }
    // an extractor of the head
    let trail = Trail::new(SystemClock::shared());
    let app = Router::new().route("/", get(|_: Valid<Query<Options>>| async {}));
    let request = Request::get("/?copies=0").extension(trail.clone()).body(Body::empty()).unwrap();
    app.oneshot(request).await.unwrap();
    assert_eq!(trail.steps()[0].to_string(), "Validation=refused(VALIDATION_ERROR)");
}
