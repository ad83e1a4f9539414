//! What axum answers by itself, in the format of everything else, and what looks like that and is not.
#![cfg(all(feature = "axum", feature = "multipart"))]

mod broken_bodies;

use axum::{
    Extension, Form, Json, Router,
    body::Body,
    extract::{
        DefaultBodyLimit, Multipart, NestedPath, Path, Query, RawPathParams,
        multipart::MultipartError,
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use palisade_core::{
    ApiError, BoxError, ErrorFormat, ErrorLayer, FrameworkReason, LeaveAsIs, OrApiError, Principal,
    RequestId, SystemClock, Trail, testing::Log,
};
use serde::Deserialize;
use serde_json::Value;
use tower::{Layer, ServiceExt};

#[derive(Deserialize)]
struct Order {
    #[allow(dead_code)]
    amount: u8,
}

fn routes() -> Router {
    Router::new()
        .route("/json", post(|_: Json<Order>| async {}))
        .route("/form", post(|_: Form<Order>| async {}))
        .route("/query", get(|_: Query<Order>| async {}))
        .route("/path/{id}", get(|_: Path<u8>| async {}))
        .route("/text", post(|_: String| async {}))
        .route("/extension", get(|_: Extension<u128>| async {}))
        .route("/pair/{a}/{b}", get(|_: Path<u8>| async {}))
        .route("/list/{a}", get(|_: Path<Vec<Vec<u8>>>| async {}))
        .route("/raw/{a}", get(|_: RawPathParams| async {}))
        .route("/nested", get(|_: NestedPath| async {}))
        .route("/parts", post(parts))
        .nest("/deep", Router::new().route("/{id}", get(|_: Path<u8>| async {})))
        .route("/bare", get(|| async { StatusCode::NOT_FOUND }))
        .route("/own", get(|| async { ApiError::conflict() }))
        .layer(DefaultBodyLimit::max(64))
}

async fn parts(mut parts: Multipart) -> Result<(), MultipartError> {
    while let Some(part) = parts.next_field().await? {
        part.bytes().await?;
    }
    Ok(())
}

fn app() -> Router {
    routes().layer(ErrorLayer::new().format(ErrorFormat::Flat).framework_errors())
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn send(app: Router, request: Request<Body>) -> Answer {
    let (head, body) = app.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

fn request(method: Method, path: &str, kind: &str, body: &'static str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request =
        if kind.is_empty() { request } else { request.header(header::CONTENT_TYPE, kind) };
    request.body(Body::from(body)).unwrap()
}

const PART: &str = "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n\
    longer than the limit of these routes, which is small\r\n--x--\r\n";

#[tokio::test]
async fn axum_errors_are_rendered_like_other_errors() {
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let long = "{\"amount\": \"                                                             \"}";
    let multipart = "multipart/form-data; boundary=x";
    for (method, path, kind, body, status, code) in [
        (Method::GET, "/nowhere", "", "", 404, "NOT_FOUND"),
        (Method::DELETE, "/json", "", "", 405, "METHOD_NOT_ALLOWED"),
        (Method::POST, "/json", "", "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (Method::POST, "/json", json, "{", 400, "BAD_REQUEST"),
        (Method::POST, "/json", json, "{\"amount\":\"hunter2\"}", 422, "UNPROCESSABLE"),
        (Method::POST, "/json", json, long, 413, "PAYLOAD_TOO_LARGE"),
        (Method::POST, "/form", json, "a=b", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (Method::POST, "/form", form, "amount=hunter2", 422, "UNPROCESSABLE"),
        (Method::GET, "/query?amount=hunter2", "", "", 400, "BAD_REQUEST"),
        (Method::GET, "/path/hunter2", "", "", 400, "BAD_REQUEST"),
        (Method::POST, "/text", "text/plain", long, 413, "PAYLOAD_TOO_LARGE"),
        (Method::GET, "/extension", "", "", 500, "INTERNAL"),
        (Method::GET, "/pair/1/2", "", "", 500, "INTERNAL"),
        (Method::GET, "/list/1", "", "", 500, "INTERNAL"),
        (Method::GET, "/raw/%FF", "", "", 400, "BAD_REQUEST"),
        (Method::GET, "/nested", "", "", 500, "INTERNAL"),
        (Method::POST, "/parts", json, "{}", 400, "BAD_REQUEST"),
        (Method::POST, "/parts", multipart, "--x", 400, "BAD_REQUEST"),
        (Method::POST, "/parts", multipart, "--x\r\n\r\nhalf", 400, "BAD_REQUEST"),
        (Method::POST, "/parts", multipart, "--x\r\nno header\r\n\r\n", 400, "BAD_REQUEST"),
        (Method::POST, "/parts", multipart, PART, 413, "PAYLOAD_TOO_LARGE"),
        (Method::GET, "/deep", "", "", 404, "NOT_FOUND"),
        (Method::GET, "/deep/x/y", "", "", 404, "NOT_FOUND"),
        (Method::GET, "/deep/x", "", "", 400, "BAD_REQUEST"),
        (Method::PUT, "/deep/1", "", "", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let raw = send(routes(), request(method.clone(), path, kind, body)).await;
        let answer = send(app(), request(method.clone(), path, kind, body)).await;
        assert_eq!((raw.status.as_u16(), answer.status), (status, raw.status), "{path}");
        assert_eq!(answer.json()["code"], code, "{path}");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.contains("u128"), "names of types of the service: {text}");
        let reason = String::from_utf8_lossy(&raw.body);
        let shows = !reason.is_empty() && status < 500;
        assert_eq!(answer.json()["error"] == *reason, shows, "{path}: {text}");
        assert_eq!(answer.headers.get(header::ALLOW), raw.headers.get(header::ALLOW), "{path}");
        assert_eq!(answer.headers.contains_key(header::ALLOW), status == 405);
    }
}

#[tokio::test]
async fn axum_errors_are_unchanged_by_default() {
    let app = || routes().layer(ErrorLayer::new());
    let missing = send(app(), request(Method::GET, "/nowhere", "", "")).await;
    assert!(missing.body.is_empty());
    let refused = send(app(), request(Method::POST, "/json", "", "{}")).await;
    assert!(refused.body.starts_with(b"Expected request with"));
}

#[tokio::test]
async fn bare_404_of_a_handler_is_unchanged() {
    let own = send(app(), request(Method::GET, "/bare", "", "")).await;
    assert_eq!((own.status, own.body.len()), (StatusCode::NOT_FOUND, 0));
    // A layer around the whole router cannot distinguish the two.
    let around = ErrorLayer::new().framework_errors().layer(routes());
    let response = around.oneshot(request(Method::GET, "/bare", "", "")).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
}

#[tokio::test]
async fn missing_grpc_route_is_unimplemented() {
    let answer = send(app(), request(Method::POST, "/a.B/C", "application/grpc", "")).await;
    assert_eq!(
        (answer.status, &answer.headers["grpc-status"]),
        (StatusCode::OK, &"12".parse().unwrap())
    );
}

#[tokio::test]
async fn head_request_gets_no_error_body() {
    let answer = send(app(), request(Method::HEAD, "/nowhere", "", "")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.body.is_empty());
    assert_ne!(answer.headers[header::CONTENT_LENGTH], "0");
}

#[tokio::test]
async fn framework_error_has_the_id_of_its_response() {
    let name = axum::middleware::map_response(|mut response: Response| async {
        let id = RequestId::parse("req-42").unwrap();
        response.headers_mut().insert("x-request-id", id.header_value().clone());
        response
    });
    let app = routes().layer(name).layer(ErrorLayer::new().framework_errors());
    let answer = send(app, request(Method::GET, "/nowhere", "", "")).await;
    assert_eq!(answer.json()["error"]["request_id"], "req-42");
}

const TEXT: &str = "text/plain; charset=utf-8";
const WORDS: &str = "Failed to parse the request body as JSON: expected value";

fn made(status: u16, kind: &'static str, body: impl Into<Body>) -> Response {
    let response = http::Response::builder().status(status);
    let response =
        if kind.is_empty() { response } else { response.header(header::CONTENT_TYPE, kind) };
    response.body(body.into()).unwrap()
}

/// What it has that the framework's has not, and the response.
type Lookalike = (&'static str, fn() -> Response);

#[tokio::test]
async fn other_responses_are_unchanged_to_the_last_byte() {
    let streamed = || {
        let text = http_body_util::StreamBody::new(stream_of(WORDS));
        made(400, TEXT, Body::new(text))
    };
    let lookalikes: [Lookalike; 11] = [
        ("another status", || made(409, TEXT, WORDS)),
        ("a success", || made(200, TEXT, WORDS)),
        ("another type", || made(400, "text/plain", WORDS)),
        ("a page", || made(400, "text/html; charset=utf-8", WORDS)),
        ("JSON", || made(400, "application/json", WORDS)),
        ("no type", || made(400, "", WORDS)),
        ("too long", || made(400, TEXT, format!("{WORDS}{}", " ".repeat(16 * 1024)))),
        ("compressed", || {
            let mut response = made(400, TEXT, WORDS);
            response.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
            response
        }),
        ("marked", || {
            let mut response = made(400, TEXT, WORDS);
            response.extensions_mut().insert(LeaveAsIs);
            response
        }),
        ("a 405 that allows nothing", || made(405, "", "")),
        ("a 404 that says why", || made(404, TEXT, "no such order")),
    ];
    for (name, make) in lookalikes {
        stays(name, make).await;
    }
    stays("a stream", streamed).await;
}

#[tokio::test]
async fn error_text_of_a_handler_becomes_the_message() {
    for (status, text) in [(400, "kein Gutschein"), (422, WORDS), (415, "nur JSON")] {
        let handler = move || async move { made(status, TEXT, text) };
        let errors = ErrorLayer::new().format(ErrorFormat::Flat).framework_errors();
        let app = Router::new().fallback(handler).layer(errors);
        let answer = send(app, request(Method::GET, "/", "", "")).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (status, &text.into()));
    }
    let handler = || async { made(500, TEXT, "the password is hunter2") };
    let app = Router::new().fallback(handler).layer(ErrorLayer::new().framework_errors());
    let answer = send(app, request(Method::GET, "/", "", "")).await;
    assert_eq!(answer.json()["error"]["message"], "internal error");
}

#[tokio::test]
async fn status_filter_selects_what_is_rendered() {
    let errors = ErrorLayer::new().framework_errors_by(|status| match status.as_u16() {
        422 => Some(FrameworkReason::Hide),
        400 | 404 => Some(FrameworkReason::Show),
        _ => None,
    });
    let app = || routes().layer(errors.clone());
    let json = "application/json";
    let told = send(app(), request(Method::POST, "/json", json, "{\"amount\":\"hunter2\"}")).await;
    assert_eq!(told.json()["error"]["code"], "UNPROCESSABLE");
    assert!(!String::from_utf8_lossy(&told.body).contains("hunter2"));
    let told = send(app(), request(Method::GET, "/path/hunter2", "", "")).await;
    assert!(told.json()["error"]["message"].as_str().unwrap().contains("hunter2"));
    assert_eq!(
        send(app(), request(Method::GET, "/nowhere", "", "")).await.json()["error"]["code"],
        "NOT_FOUND"
    );
    for (method, path) in [(Method::POST, "/json"), (Method::GET, "/extension")] {
        let left = send(app(), request(method, path, "", "{}")).await;
        assert_eq!(left.headers[header::CONTENT_TYPE], TEXT, "{path}");
    }
    assert!(send(app(), request(Method::DELETE, "/json", "", "")).await.body.is_empty());
}

#[tokio::test]
async fn reason_is_logged_even_if_hidden_from_the_client() {
    let body = "{\"amount\":\"seven\"}";
    for reason in [FrameworkReason::Show, FrameworkReason::Hide] {
        let log = Log::of_this_thread(tracing::Level::INFO);
        let errors = ErrorLayer::new().framework_errors_by(move |_| Some(reason));
        let app = routes().layer(errors);
        send(app, request(Method::POST, "/json", "application/json", body)).await;
        let text = log.text();
        let line = text.lines().find(|line| line.starts_with("INFO palisade::errors"));
        assert!(line.expect("a line").contains("amount: invalid type"), "{reason:?}: {text}");
    }
}

async fn typed_parts(mut parts: Multipart) -> Result<(), ApiError> {
    while let Some(part) = parts.next_field().await? {
        part.bytes().await?;
    }
    Ok(())
}

/// The same routes with extractors that convert their rejections by type, and no option.
fn typed() -> Router {
    Router::new()
        .route("/json", post(|_: OrApiError<Json<Order>>| async {}))
        .route("/form", post(|_: OrApiError<Form<Order>>| async {}))
        .route("/query", get(|_: OrApiError<Query<Order>>| async {}))
        .route("/path/{id}", get(|_: OrApiError<Path<u8>>| async {}))
        .route("/text", post(|_: OrApiError<String>| async {}))
        .route("/extension", get(|_: OrApiError<Extension<u128>>| async {}))
        .route("/parts", post(typed_parts))
        .layer(DefaultBodyLimit::max(64))
        .layer(ErrorLayer::new())
}

#[tokio::test]
async fn rejections_convert_by_their_types() {
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let long = "{\"amount\": \"                                                             \"}";
    let multipart = "multipart/form-data; boundary=x";
    for (method, path, kind, body, status, code, message) in [
        (Method::POST, "/json", "", "{}", 415, "UNSUPPORTED_MEDIA_TYPE", "application/json"),
        (Method::POST, "/json", json, "{", 400, "INVALID_JSON", "EOF while parsing"),
        (
            Method::POST,
            "/json",
            json,
            "{\"amount\":\"x\"}",
            422,
            "UNPROCESSABLE",
            "amount: invalid",
        ),
        (Method::POST, "/json", json, long, 413, "PAYLOAD_TOO_LARGE", "length limit"),
        (Method::POST, "/form", json, "a=b", 415, "UNSUPPORTED_MEDIA_TYPE", "form-urlencoded"),
        (Method::POST, "/form", form, "amount=x", 422, "UNPROCESSABLE", "amount: invalid"),
        (Method::GET, "/query?amount=x", "", "", 400, "BAD_REQUEST", "amount: invalid"),
        (Method::GET, "/path/x", "", "", 400, "BAD_REQUEST", "`x`"),
        (Method::POST, "/text", "text/plain", long, 413, "PAYLOAD_TOO_LARGE", "length limit"),
        (Method::GET, "/extension", "", "", 500, "INTERNAL", "internal error"),
        (Method::POST, "/parts", multipart, "--x", 400, "BAD_REQUEST", "incomplete"),
        (Method::POST, "/parts", multipart, PART, 413, "PAYLOAD_TOO_LARGE", "large"),
    ] {
        let answer = send(typed(), request(method, path, kind, body)).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status.as_u16(), &error["code"]), (status, &code.into()), "{path}");
        assert!(error["message"].as_str().unwrap().contains(message), "{path}: {error}");
    }
}

async fn stays(name: &str, make: impl Fn() -> Response + Clone + Send + Sync + 'static) {
    let (before, body) = make().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let handler = move || {
        let response = make();
        async { response }
    };
    // as a fallback, where axum says of no route that it was found
    let app = Router::new().fallback(handler).layer(ErrorLayer::new().framework_errors());
    let after = send(app, request(Method::GET, "/", "", "")).await;
    assert_eq!((after.status, after.body), (before.status, body), "{name}");
    for (header, value) in &before.headers {
        assert_eq!(after.headers.get(header), Some(value), "{name}");
    }
}

fn stream_of(
    text: &'static str,
) -> impl futures_core::Stream<Item = Result<http_body::Frame<Bytes>, std::convert::Infallible>> {
    struct Once(Option<&'static str>);
    impl futures_core::Stream for Once {
        type Item = Result<http_body::Frame<Bytes>, std::convert::Infallible>;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            let text = self.0.take().map(|text| Ok(http_body::Frame::data(Bytes::from(text))));
            std::task::Poll::Ready(text)
        }
    }
    Once(Some(text))
}

#[tokio::test]
async fn missing_auth_policy_is_500_and_logs_the_remedy() {
    let route = || Router::new().route("/me", get(|_: Principal| async {}));
    for app in [route(), route().layer(ErrorLayer::new())] {
        let log = Log::of_this_thread(tracing::Level::ERROR);
        let answer = send(app, request(Method::GET, "/me", "", "")).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("add `.with_auth(&auth)` to the route"), "{text}");
    }
}

#[tokio::test]
async fn extractor_rejection_is_recorded_on_the_trail() {
    let trail = Trail::new(SystemClock::shared());
    let mut request = request(Method::POST, "/json", "application/json", "{");
    request.extensions_mut().insert(trail.clone());
    send(typed(), request).await;
    assert_eq!(trail.steps()[0].to_string(), "OrApiError=refused(INVALID_JSON)");
}
