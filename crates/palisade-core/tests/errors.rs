//! What becomes of failures: formats, inner errors, panics, gRPC.

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
async fn a_refusal_looks_as_the_format_says_and_keeps_its_headers() {
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
async fn over_grpc_every_format_is_grpc() {
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
async fn a_head_request_gets_the_headers_of_the_error_and_no_body() {
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

#[derive(Debug)]
struct Wrapped(OutOfStock);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the order failed")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

async fn failing_with(error: impl Fn() -> BoxError) -> (StatusCode, Value) {
    let errors =
        ErrorLayer::new().map(|_: &OutOfStock| ApiError::conflict().with_code("OUT_OF_STOCK"));
    let service = errors.layer(service_fn(|_: Request<Full<Bytes>>| {
        let error = error();
        async move { Err::<Response<Full<Bytes>>, _>(error) }
    }));
    let (head, body) = answer(service, request()).await;
    (head.status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn nested_error_is_mapped_by_the_user() {
    for error in [|| OutOfStock.into(), || Wrapped(OutOfStock).into()] as [fn() -> BoxError; 2] {
        let (status, body) = failing_with(error).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (StatusCode::CONFLICT, &json!("OUT_OF_STOCK"))
        );
    }
}

#[tokio::test]
async fn an_unknown_error_is_a_500_that_shows_nothing_of_it() {
    let (status, body) = failing_with(|| "password is hunter2".into()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        body,
        json!({"error": {"code": "INTERNAL", "message": "internal error", "request_id": ID}})
    );
}

#[tokio::test]
async fn an_api_error_that_is_an_inner_services_error_is_itself() {
    let (status, body) = failing_with(|| ApiError::not_found().into()).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::NOT_FOUND, &json!("NOT_FOUND")));
}

#[tokio::test]
async fn a_body_over_a_length_limit_is_a_413() {
    let service = ErrorLayer::new().layer(service_fn(|request: Request<Full<Bytes>>| async {
        let body = http_body_util::Limited::new(request.into_body(), 3).collect().await?;
        Ok::<_, BoxError>(Response::new(Full::new(body.to_bytes())))
    }));
    let request = Request::post("/").body(Full::new(Bytes::from("four"))).unwrap();
    let (head, _) = answer(service, request).await;
    assert_eq!(head.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn towers_timeout_and_overload_are_a_504_and_a_503() {
    let slow = ServiceBuilder::new()
        .layer(ErrorLayer::new())
        .timeout(Duration::from_secs(1))
        .service_fn(|_: Request<Full<Bytes>>| async {
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
    let (head, _) = answer(slow, request()).await;
    assert_eq!(head.status, StatusCode::GATEWAY_TIMEOUT);

    let busy = ServiceBuilder::new()
        .layer(ErrorLayer::new())
        .load_shed()
        .service(palisade_core::testing::Probe::new().unready_for(1_000));
    let response = busy.oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_panic_is_a_500_wherever_it_happens() {
    async fn panics(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
        panic!("secret detail")
    }
    let (head, body) = answer(ErrorLayer::new().layer(service_fn(panics)), request()).await;
    assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!String::from_utf8_lossy(&body).contains("secret"));

    let in_call = service_fn(|request: Request<Full<Bytes>>| {
        assert!(request.uri().path() == "/never", "in call");
        hello(request)
    });
    let (head, _) = answer(ErrorLayer::new().layer(in_call), request()).await;
    assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);

    let (head, _) = answer(ErrorLayer::new().layer(service_fn(panics)), grpc_request()).await;
    assert_eq!(head.headers["grpc-status"], "13");
}

#[tokio::test]
async fn a_response_that_the_service_made_itself_is_not_touched() {
    let plain = service_fn(|_: Request<Full<Bytes>>| async {
        let body = Full::new(Bytes::from("my own 500"));
        Ok::<_, Infallible>(Response::builder().status(500).body(body).unwrap())
    });
    let (head, body) = answer(ErrorLayer::new().layer(plain), request()).await;
    assert_eq!((head.status.as_u16(), &*body), (500, &b"my own 500"[..]));
}

#[tokio::test]
async fn an_error_that_is_to_be_left_as_it_is_stays_in_every_format() {
    let own = service_fn(|_: Request<Full<Bytes>>| async {
        let mut response = Response::new(Full::new(Bytes::from("my own words")));
        response.extensions_mut().insert(ApiError::conflict());
        response.extensions_mut().insert(LeaveAsIs);
        Ok::<_, Infallible>(response)
    });
    for format in [ErrorFormat::Envelope, ErrorFormat::Problem] {
        let layer = ErrorLayer::new().format(format).negotiated();
        let (head, body) = answer(layer.layer(own), request()).await;
        assert_eq!((head.status.as_u16(), &*body), (200, &b"my own words"[..]));
        assert!(!head.headers.contains_key(header::VARY));
    }
}

#[tokio::test]
async fn two_error_layers_do_what_one_does() {
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
async fn a_failure_is_never_ok_over_grpc() {
    let fails = service_fn(|_: Request<Full<Bytes>>| async {
        let error = ApiError::internal().with_grpc_code(GrpcCode::Ok);
        Err::<Response<Full<Bytes>>, BoxError>(error.into())
    });
    let (head, _) = answer(ErrorLayer::new().layer(fails), grpc_request()).await;
    assert_eq!(head.headers["grpc-status"], "2");
}

#[tokio::test]
async fn a_panic_in_a_map_or_in_a_format_is_a_500_too() {
    async fn fails(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, OutOfStock> {
        Err(OutOfStock)
    }
    let map = ErrorLayer::new().map(|_: &OutOfStock| panic!("in a map"));
    let format = ErrorLayer::new().format(ErrorFormat::custom(|_, _| panic!("in a format")));
    for errors in [map, format] {
        let (head, _) = answer(errors.layer(service_fn(fails)), request()).await;
        assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
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
async fn a_status_that_never_has_a_body_gets_none_in_any_format() {
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
async fn outer_error_layer_finds_the_id_on_the_response() {
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

#[derive(Debug)]
enum OrderError {
    Gone,
    Database(std::io::Error),
}

impl std::fmt::Display for OrderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an order failed")
    }
}

impl std::error::Error for OrderError {}

impl palisade_core::ToApiError for OrderError {
    fn to_api_error(&self) -> ApiError {
        match self {
            Self::Gone => ApiError::not_found().with_code("ORDER_GONE"),
            Self::Database(cause) => ApiError::unavailable().with_source(cause.to_string()),
        }
    }
}

#[tokio::test]
async fn an_error_type_that_says_what_it_is_is_known_by_its_type() {
    let service = ErrorLayer::new().map_type::<OrderError>().layer(service_fn(
        |request: Request<Full<Bytes>>| async move {
            Err::<Response<Full<Bytes>>, _>(match request.uri().path() {
                "/gone" => OrderError::Gone,
                _ => OrderError::Database(std::io::Error::other("hunter2")),
            })
        },
    ));
    for (path, status, code) in [("/gone", 404, "ORDER_GONE"), ("/", 503, "UNAVAILABLE")] {
        let request = Request::get(path).body(Full::default()).unwrap();
        let (head, body) = answer(service.clone(), request).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((head.status.as_u16(), &body["error"]["code"]), (status, &json!(code)));
    }
    let kept = ApiError::from(OrderError::Gone);
    assert!(std::error::Error::source(&kept).unwrap().is::<OrderError>());
}

#[tokio::test]
async fn over_a_rate_of_towers_a_shed_request_is_a_503() {
    let service = ServiceBuilder::new()
        .layer(ErrorLayer::new())
        .load_shed()
        .rate_limit(1, Duration::from_secs(3600))
        .service_fn(hello);
    let mut service = service;
    for status in [200, 503] {
        let response = service.ready().await.unwrap().call(request()).await.unwrap();
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn a_service_that_will_never_be_ready_answers_and_does_not_fail() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Request<Full<Bytes>>> for Broken {
        type Response = Response<Full<Bytes>>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Self::Response, BoxError>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Err(Box::new(ApiError::unavailable())))
        }
        fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
            panic!("called although it is not ready")
        }
    }
    let (head, _) = answer(ErrorLayer::new().layer(Broken), request()).await;
    assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
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

#[tokio::test]
async fn a_panic_in_poll_ready_is_a_500_too() {
    let service = ErrorLayer::new().layer(Unready(|| panic!("secret detail"), false));
    let (head, body) = answer(service, request()).await;
    assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!String::from_utf8_lossy(&body).contains("secret"));
}

#[tokio::test]
async fn a_service_that_became_ready_after_all_is_called() {
    let fails = || std::task::Poll::Ready(Err(ApiError::unavailable().into()));
    let mut service = ErrorLayer::new().layer(Unready(fails, false));
    for _ in 0..2 {
        service.ready().await.unwrap();
    }
    assert_eq!(service.call(request()).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_error_that_panics_when_it_is_logged_is_a_500_too() {
    #[derive(Debug)]
    struct Unspeakable;
    impl std::fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("in Display")
        }
    }
    impl std::error::Error for Unspeakable {}
    async fn fails(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Unspeakable> {
        Err(Unspeakable)
    }
    let log = Log::of_this_thread(Level::INFO);
    let (head, _) = answer(ErrorLayer::new().layer(service_fn(fails)), request()).await;
    assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
    println!("{}", log.text());
}

#[test]
fn error_is_never_a_success() {
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
