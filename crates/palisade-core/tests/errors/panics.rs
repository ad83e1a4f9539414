//! Panics of services, maps and formats.

use super::*;

#[tokio::test]
async fn panic_of_the_service_is_500() {
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
async fn panic_in_a_map_or_format_is_500() {
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

#[tokio::test]
async fn panic_in_poll_ready_is_500() {
    let service = ErrorLayer::new().layer(Unready(|| panic!("secret detail"), false));
    let (head, body) = answer(service, request()).await;
    assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!String::from_utf8_lossy(&body).contains("secret"));
}

#[tokio::test]
async fn error_that_panics_in_display_is_500() {
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
