//! Responses and requests with as many header fields as they can have: nothing panics, and errors stay whole.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use palisade_core::{ApiError, ErrorFormat, ErrorLayer, vary_by};
use tower::{Layer, ServiceExt, service_fn};

const MOST: usize = 24_576;

fn full_but_for(room: usize) -> HeaderMap {
    (0..MOST - room)
        .map(|number| HeaderName::try_from(format!("x-{number}")).unwrap())
        .map(|name| (name, HeaderValue::from_static("1")))
        .collect()
}

/// The answer to a request whose handler puts an error into a response that is full.
async fn rendered(
    errors: ErrorLayer,
    room: usize,
    content_type: &'static str,
) -> (Response<()>, String) {
    let service = errors.layer(service_fn(move |_: Request<String>| async move {
        let error = ApiError::unauthenticated()
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        let mut response = Response::new(Full::<Bytes>::from("half"));
        *response.headers_mut() = full_but_for(room);
        response.extensions_mut().insert(error);
        Ok::<_, Infallible>(response)
    }));
    let request = Request::post("/a.B/C").header(header::CONTENT_TYPE, content_type);
    let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn error_in_a_full_header_map_keeps_its_essential_headers() {
    for room in [0, 1, 2, 3, 8, 100] {
        for (errors, media_type) in [
            (ErrorLayer::new(), "application/json"),
            (ErrorLayer::new().format(ErrorFormat::Problem), "application/problem+json"),
            (ErrorLayer::new().negotiated(), "application/json"),
        ] {
            let (response, body) = rendered(errors, room, "text/plain").await;
            assert_eq!(response.status(), 401, "{room}");
            assert_eq!(response.headers()["content-type"], media_type, "{room}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer", "{room}");
            assert!(body.contains("UNAUTHENTICATED"), "{room}: {body}");
        }
        let (response, _) = rendered(ErrorLayer::new(), room, "application/grpc").await;
        assert_eq!(response.headers()["grpc-status"], "16", "{room}");
        let (response, body) = rendered(ErrorLayer::new(), room, "application/grpc-web").await;
        assert_eq!(response.headers()["content-type"], "application/grpc-web+proto", "{room}");
        assert!(body.contains("grpc-status:16"), "{room}: {body}");
    }
}

#[tokio::test]
async fn custom_format_that_fills_the_header_map_does_not_panic() {
    let custom = ErrorFormat::custom(|error, _| {
        let mut response = Response::new(Bytes::from_static(b"custom"));
        *response.status_mut() = error.status();
        *response.headers_mut() = full_but_for(0);
        response
    });
    let (response, body) = rendered(ErrorLayer::new().format(custom), 0, "text/plain").await;
    assert_eq!((response.status().as_u16(), &*body), (401, "custom"));
}

#[test]
fn error_with_the_maximum_number_of_headers_renders() {
    let name = |number| HeaderName::try_from(format!("x-{number}")).unwrap();
    let value = || HeaderValue::from_static("1");
    let error = (0..MOST + 10)
        .fold(ApiError::rate_limited(), |error, number| error.with_header(name(number), value()));
    let error = error.with_retry_after(std::time::Duration::from_secs(1));
    let request = Request::get("/").body(()).unwrap();
    let response = palisade_core::ErrorContext::of_request(&request).render(error);
    assert_eq!(response.status(), 429);
}

#[test]
fn vary_is_updated_in_a_full_header_map() {
    let mut headers = full_but_for(1);
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    assert!(vary_by(&mut headers, &HeaderValue::from_static("Origin")));
    assert_eq!(headers[header::VARY], "Accept, Origin");
    let mut headers = full_but_for(0);
    assert!(!vary_by(&mut headers, &HeaderValue::from_static("Origin")));
    assert_eq!(headers.len(), MOST);
}
