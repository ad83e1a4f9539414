//! What becomes of failures: formats, inner errors, panics, gRPC.

mod inner_errors;
mod panics;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Full};
use palisade_core::{
    ApiError, BoxError, Decision, ErrorFormat, ErrorLayer, GrpcCode, Issue, LeaveAsIs, Policy,
    PolicyLayer, RequestId, testing::Log,
};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::Level;

struct Refuses;

impl Policy for Refuses {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        let issues = [Issue::new("email", "invalid_email", "must be an email address")];
        Decision::refuse(
            ApiError::validation(issues)
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("3"))
                .with_source("the cause"),
        )
    }
}

fn request() -> Request<Full<Bytes>> {
    let mut request = Request::get("/orders").body(Full::default()).unwrap();
    let id = RequestId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
    request.extensions_mut().insert(id);
    request
}

fn grpc_request() -> Request<Full<Bytes>> {
    let mut request = request();
    let grpc = HeaderValue::from_static("application/grpc+proto");
    request.headers_mut().insert(header::CONTENT_TYPE, grpc);
    request
}

async fn hello(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from("hello"))))
}

async fn answer<S, B>(service: S, request: Request<Full<Bytes>>) -> (http::response::Parts, Bytes)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    (head, body.collect().await.unwrap().to_bytes())
}

async fn refused_in(format: ErrorFormat) -> (http::response::Parts, Value) {
    let service = ServiceBuilder::new()
        .layer(ErrorLayer::new().format(format))
        .layer(PolicyLayer::new(Refuses))
        .service_fn(hello);
    let (head, body) = answer(service, request()).await;
    (head, serde_json::from_slice(&body).unwrap())
}

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[tokio::test]
async fn rejection_follows_the_format_and_keeps_its_headers() {
    let issues =
        json!([{"path": "email", "code": "invalid_email", "message": "must be an email address"}]);

    let (head, body) = refused_in(ErrorFormat::Envelope).await;
    assert_eq!(
        (head.status, &head.headers["content-type"]),
        (StatusCode::BAD_REQUEST, &HeaderValue::from_static("application/json"))
    );
    assert_eq!(head.headers["retry-after"], "3");
    assert_eq!(
        body,
        json!({"error": {
            "code": "VALIDATION_ERROR", "message": "the input is not valid", "field": "email",
            "issues": issues, "request_id": ID,
        }})
    );

    let (head, body) = refused_in(ErrorFormat::Flat).await;
    assert_eq!(head.headers["retry-after"], "3");
    assert_eq!(
        body,
        json!({
            "error": "the input is not valid", "code": "VALIDATION_ERROR", "field": "email",
            "issues": issues, "request_id": ID,
        })
    );

    let (head, body) = refused_in(ErrorFormat::Problem).await;
    assert_eq!(head.headers["content-type"], "application/problem+json");
    assert_eq!(head.headers.get_all("retry-after").iter().count(), 1);
    assert_eq!(
        body,
        json!({
            "type": "about:blank", "title": "Bad Request", "status": 400,
            "detail": "the input is not valid", "instance": format!("urn:uuid:{ID}"),
            "code": "VALIDATION_ERROR", "field": "email", "issues": issues,
        })
    );

    let custom = ErrorFormat::custom(|error, request| {
        let body = json!({"at": request.uri.path(), "oops": error.code()});
        Response::builder().status(418).header("x-own", "1").body(body.to_string().into()).unwrap()
    });
    let (head, body) = refused_in(custom).await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["x-own"]),
        (418, &HeaderValue::from_static("1"))
    );
    assert_eq!(head.headers["retry-after"], "3", "headers owed survive a custom format");
    assert!(head.headers.get("content-type").is_none());
    assert_eq!(body, json!({"at": "/orders", "oops": "VALIDATION_ERROR"}));
}

#[tokio::test]
async fn grpc_requests_get_grpc_errors_in_every_format() {
    let custom = ErrorFormat::custom(|_, _| Response::default());
    for format in [ErrorFormat::Envelope, ErrorFormat::Flat, ErrorFormat::Problem, custom] {
        let service = ServiceBuilder::new()
            .layer(ErrorLayer::new().format(format))
            .layer(PolicyLayer::new(Refuses))
            .service_fn(hello);
        let (head, body) = answer(service, grpc_request()).await;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers["content-type"], "application/grpc");
        assert_eq!(head.headers["grpc-status"], "3");
        assert_eq!(head.headers["grpc-message"], "the input is not valid");
        assert_eq!(head.headers.get_all("grpc-status-details-bin").iter().count(), 1);
        assert_eq!(head.headers["retry-after"], "3");
        assert!(body.is_empty());
    }
}

#[tokio::test]
async fn head_request_gets_error_headers_without_a_body() {
    let length = serde_json::to_vec(&refused_in(ErrorFormat::Flat).await.1).unwrap().len();
    let service = ServiceBuilder::new()
        .layer(ErrorLayer::new().format(ErrorFormat::Flat))
        .layer(PolicyLayer::new(Refuses))
        .service_fn(hello);
    let mut request = request();
    *request.method_mut() = Method::HEAD;
    let (head, body) = answer(service, request).await;
    assert_eq!(head.headers["content-length"], length.to_string());
    assert!(body.is_empty());
}

#[derive(Debug)]
struct OutOfStock;

impl std::fmt::Display for OutOfStock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("shelf 7 is empty")
    }
}

impl std::error::Error for OutOfStock {}

#[tokio::test]
async fn innermost_of_two_error_layers_renders_the_error() {
    let service = ServiceBuilder::new()
        .layer(ErrorLayer::new().format(ErrorFormat::Problem))
        .layer(ErrorLayer::new().format(ErrorFormat::Flat))
        .layer(PolicyLayer::new(Refuses))
        .service_fn(hello);
    let (head, body) = answer(service, request()).await;
    assert_eq!(head.headers["content-type"], "application/json", "the innermost chose");
    assert_eq!(head.headers.get_all("retry-after").iter().count(), 1);
    assert!(serde_json::from_slice::<Value>(&body).unwrap()["error"].is_string());
}

#[tokio::test]
async fn body_headers_of_a_replaced_body_are_removed() {
    // as a compressing layer inside would leave a refusal
    async fn compressed(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
        let mut response = Response::new(Full::new(Bytes::from("gzip")));
        for (name, value) in [
            ("content-encoding", "gzip"),
            ("etag", "\"1\""),
            ("content-disposition", "attachment"),
            ("content-digest", "sha-256=:x:"),
            ("repr-digest", "sha-256=:x:"),
            ("vary", "Origin"),
        ] {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        response.extensions_mut().insert(ApiError::forbidden());
        Ok(response)
    }
    let custom = ErrorFormat::custom(|_, _| {
        Response::builder().status(403).header("vary", "Accept").body(Bytes::from("no")).unwrap()
    });
    for (format, vary) in [(ErrorFormat::Flat, vec!["Origin"]), (custom, vec!["Accept, Origin"])] {
        let service = ErrorLayer::new().format(format).layer(service_fn(compressed));
        let (head, _) = answer(service, request()).await;
        for name in
            ["content-encoding", "etag", "content-disposition", "content-digest", "repr-digest"]
        {
            assert!(!head.headers.contains_key(name), "{name}");
        }
        assert_eq!(head.headers.get_all("vary").iter().collect::<Vec<_>>(), vary);
    }
}

#[tokio::test]
async fn grpc_error_with_code_ok_becomes_unknown() {
    let fails = service_fn(|_: Request<Full<Bytes>>| async {
        let error = ApiError::internal().with_grpc_code(GrpcCode::Ok);
        Err::<Response<Full<Bytes>>, BoxError>(error.into())
    });
    let (head, _) = answer(ErrorLayer::new().layer(fails), grpc_request()).await;
    assert_eq!(head.headers["grpc-status"], "2");
}

async fn refused_with(
    error: ApiError,
    layer: ErrorLayer,
    request: Request<Full<Bytes>>,
) -> (http::response::Parts, Bytes) {
    let fails = service_fn(move |_: Request<Full<Bytes>>| {
        let error = error.clone();
        async move { Err::<Response<Full<Bytes>>, _>(error) }
    });
    answer(layer.layer(fails), request).await
}

fn accepting(accept: &'static str) -> Request<Full<Bytes>> {
    let mut request = request();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
    request
}

#[tokio::test]
async fn format_is_negotiated_and_vary_is_set() {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let layer = ErrorLayer::new().format(ErrorFormat::Problem);
    for (layer, accept, content_type) in [
        (layer.clone().negotiated(), "application/json", "application/json"),
        (layer.clone().negotiated(), "text/plain", "text/plain; charset=utf-8"),
        (layer.clone().negotiated(), "nonsense", "application/problem+json"),
        (layer.clone().negotiated(), browser, "application/problem+json"),
        (layer.clone().negotiated_with_html(), browser, "text/html; charset=utf-8"),
        (ErrorLayer::new().negotiated(), "*/*", "application/json"),
    ] {
        let (head, _) = refused_with(ApiError::forbidden(), layer, accepting(accept)).await;
        assert_eq!(head.headers["content-type"], content_type, "{accept}");
        assert_eq!(head.headers["vary"], "Accept", "{accept}");
        assert_eq!(head.headers["cache-control"], "no-store", "owed in every format");
    }
    let (head, _) = refused_with(ApiError::forbidden(), layer, accepting("text/plain")).await;
    assert_eq!(head.headers["content-type"], "application/problem+json", "nobody was asked");
    assert!(!head.headers.contains_key("vary"));
}

#[tokio::test]
async fn formatted_rejection_has_vary() {
    let service = ServiceBuilder::new()
        .layer(ErrorLayer::new().negotiated())
        .layer(PolicyLayer::new(Refuses))
        .service_fn(hello);
    let (head, _) = answer(service, accepting("application/json")).await;
    assert_eq!(head.headers["vary"], "Accept");
}

#[tokio::test]
async fn bodiless_status_gets_no_body_in_any_format() {
    let custom = ErrorFormat::custom(|error, _| {
        Response::builder()
            .status(error.status())
            .header("content-length", "3")
            .body(Bytes::from("own"))
            .unwrap()
    });
    let formats = [ErrorFormat::Envelope, ErrorFormat::Problem, ErrorFormat::Html, custom];
    let status = StatusCode::NOT_MODIFIED;
    for format in formats {
        let error = ApiError::precondition_failed().with_status(status);
        let error = error.with_header(header::ETAG, HeaderValue::from_static("\"1\""));
        let layer = ErrorLayer::new().format(format);
        let (head, body) = refused_with(error, layer, request()).await;
        assert_eq!((head.status, body.len()), (status, 0));
        assert!(!head.headers.contains_key("content-length"), "{status}");
        assert!(!head.headers.contains_key("content-type"), "{status}");
        assert_eq!(head.headers["etag"], "\"1\"", "it is of what was asked for");
    }
}

#[tokio::test]
async fn custom_format_keeps_headers_of_policies() {
    async fn guarded(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
        let error = ApiError::unauthenticated()
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            .with_retry_after(Duration::from_secs(7));
        let mut response = Response::new(Full::default());
        response.headers_mut().extend(error.headers().clone());
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("access-control-allow-origin", "https://app.example.com"),
            ("set-cookie", "a=1"),
            ("content-security-policy", "default-src 'none'"),
        ] {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        response.extensions_mut().insert(error);
        Ok(response)
    }
    let careless = ErrorFormat::custom(|error, _| {
        Response::builder()
            .status(error.status())
            .header("cache-control", "max-age=60")
            .header("retry-after", "0")
            .header("www-authenticate", "Basic")
            .header("x-frame-options", "SAMEORIGIN")
            .header("access-control-allow-origin", "*")
            .header("set-cookie", "b=2")
            .header("content-security-policy", "img-src 'self'")
            .header("x-own", "1")
            .body(Bytes::from("no"))
            .unwrap()
    });
    let service = ErrorLayer::new().format(careless).layer(service_fn(guarded));
    let (head, body) = answer(service, request()).await;
    assert_eq!(body, "no");
    for (name, values) in [
        ("cache-control", &["no-store"][..]),
        ("retry-after", &["7"]),
        ("www-authenticate", &["Basic", "Bearer"]),
        ("x-frame-options", &["DENY"]),
        ("access-control-allow-origin", &["https://app.example.com"]),
        ("set-cookie", &["b=2", "a=1"]),
        ("content-security-policy", &["img-src 'self'", "default-src 'none'"]),
        ("x-own", &["1"]),
    ] {
        assert_eq!(head.headers.get_all(name).iter().collect::<Vec<_>>(), values, "{name}");
    }
}

#[tokio::test]
async fn error_uses_the_request_id_of_the_response() {
    for (fields, found) in [
        (&["req-42"][..], Some("req-42")),
        (&["a b"], None),
        (&["{\"forged\":1}"], None),
        (&["a", "b"], None),
        (&[], None),
    ] {
        let service = ErrorLayer::new().layer(service_fn(move |request: Request<Full<Bytes>>| {
            let refusal = palisade_core::ErrorContext::of_request(&request);
            let mut response = refusal.render(ApiError::not_found()).map(Full::new);
            for field in fields {
                response.headers_mut().append("x-request-id", HeaderValue::from_static(field));
            }
            async { Ok::<_, Infallible>(response) }
        }));
        let request = Request::new(Full::default());
        let (_, body) = answer(service, request).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"].get("request_id").and_then(Value::as_str), found, "{fields:?}");
    }
}

/// Not ready as its script says, and then ready.
#[derive(Clone)]
struct Unready(fn() -> std::task::Poll<Result<(), BoxError>>, bool);

impl Service<Request<Full<Bytes>>> for Unready {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Self::Response, BoxError>>;
    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        let was_asked = std::mem::replace(&mut self.1, true);
        if was_asked { std::task::Poll::Ready(Ok(())) } else { (self.0)() }
    }
    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        std::future::ready(Ok(Response::default()))
    }
}

#[test]
fn error_never_has_a_success_status() {
    let log = Log::of_this_thread(Level::ERROR);
    for status in [100, 200, 204, 226] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(ApiError::conflict().with_status(status).status(), StatusCode::CONFLICT);
        let own = ApiError::new(status, GrpcCode::Ok, "OWN", "own");
        assert_eq!(own.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(log.text().lines().count(), 8);
    assert_eq!(ApiError::conflict().with_status(StatusCode::GONE).status(), StatusCode::GONE);
}
