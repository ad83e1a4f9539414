//! Errors of inner services and layers.

use super::*;

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
async fn nested_error_is_mapped_by_the_custom_map() {
    for error in [|| OutOfStock.into(), || Wrapped(OutOfStock).into()] as [fn() -> BoxError; 2] {
        let (status, body) = failing_with(error).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (StatusCode::CONFLICT, &json!("OUT_OF_STOCK"))
        );
    }
}

#[tokio::test]
async fn unknown_error_is_a_500_without_its_message() {
    let (status, body) = failing_with(|| "password is hunter2".into()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        body,
        json!({"error": {"code": "INTERNAL", "message": "internal error", "request_id": ID}})
    );
}

#[tokio::test]
async fn api_error_of_the_inner_service_is_rendered() {
    let (status, body) = failing_with(|| ApiError::not_found().into()).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::NOT_FOUND, &json!("NOT_FOUND")));
}

#[tokio::test]
async fn body_over_a_length_limit_is_413() {
    let service = ErrorLayer::new().layer(service_fn(|request: Request<Full<Bytes>>| async {
        let body = http_body_util::Limited::new(request.into_body(), 3).collect().await?;
        Ok::<_, BoxError>(Response::new(Full::new(body.to_bytes())))
    }));
    let request = Request::post("/").body(Full::new(Bytes::from("four"))).unwrap();
    let (head, _) = answer(service, request).await;
    assert_eq!(head.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn tower_timeout_is_504_and_overload_is_503() {
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
async fn error_response_of_the_service_is_unchanged() {
    let plain = service_fn(|_: Request<Full<Bytes>>| async {
        let body = Full::new(Bytes::from("my own 500"));
        Ok::<_, Infallible>(Response::builder().status(500).body(body).unwrap())
    });
    let (head, body) = answer(ErrorLayer::new().layer(plain), request()).await;
    assert_eq!((head.status.as_u16(), &*body), (500, &b"my own 500"[..]));
}

#[tokio::test]
async fn response_marked_leave_as_is_is_unchanged_in_every_format() {
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
async fn registered_error_type_is_converted() {
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
async fn request_shed_behind_a_rate_limit_is_503() {
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
async fn service_that_is_never_ready_gets_an_error_response() {
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

#[tokio::test]
async fn service_that_becomes_ready_after_an_error_is_called() {
    let fails = || std::task::Poll::Ready(Err(ApiError::unavailable().into()));
    let mut service = ErrorLayer::new().layer(Unready(fails, false));
    for _ in 0..2 {
        service.ready().await.unwrap();
    }
    assert_eq!(service.call(request()).await.unwrap().status(), StatusCode::OK);
}
