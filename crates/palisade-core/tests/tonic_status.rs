//! Errors as statuses and back, and what of it a tonic client sees.
#![cfg(feature = "tonic")]

use std::{convert::Infallible, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use palisade_core::{ApiError, ErrorLayer, Issue, QuotaViolation, RequestId};
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, ServiceExt, service_fn};

fn full_error() -> ApiError {
    let issues = [Issue::new("items[0].price", "too_small", "must be at least 1")];
    ApiError::validation(issues)
        .with_code("ORDER_REFUSED")
        .with_message("the order is refused")
        .with_quota_violation(QuotaViolation::new("daily", 100))
        .with_retry_after(Duration::from_millis(1500))
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        .with_source("the cause")
}

#[test]
fn error_round_trips_through_a_status() {
    let error = full_error().with_status(http::StatusCode::UNPROCESSABLE_ENTITY);
    let back = ApiError::from(Status::from(error.clone()));
    assert_eq!(back.status(), error.status());
    assert_eq!(format!("{back:?}"), format!("{error:?}"));
}

#[test]
fn added_metadata_is_kept_on_the_error() {
    let mut status = Status::from(ApiError::not_found());
    status.metadata_mut().insert("x-shard", MetadataValue::from_static("7"));
    assert_eq!(ApiError::from(status).headers()["x-shard"], "7");
}

#[test]
fn foreign_status_keeps_metadata_details_and_issues() {
    let mut details = ErrorDetails::new();
    details
        .set_error_info(
            "ORDER_REFUSED",
            "orders.example.com",
            [("shard".to_owned(), "7".to_owned())],
        )
        .set_retry_info(Some(Duration::from_secs(3)))
        .add_quota_failure_violation("user:ada", "too much")
        .add_bad_request_violation("email", "must be an email address")
        .add_help_link("read this", "https://example.com/help")
        .set_debug_info(vec!["at line 7".to_owned()], "internals");
    let mut status = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
    status.metadata_mut().insert("x-shard", MetadataValue::from_static("7"));
    status.metadata_mut().insert("content-length", MetadataValue::from_static("7"));
    // As received over the network, without its source.
    let theirs = Status::from_header_map(&{
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        headers
    })
    .unwrap();
    let error = ApiError::from(theirs);
    assert_eq!((error.code(), error.message()), ("ORDER_REFUSED", "slow down"));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(error.headers()["retry-after"], "3");
    assert_eq!(error.headers()["x-shard"], "7");
    assert!(!error.headers().contains_key("content-length"));
    assert_eq!(error.issues()[0].path, "email");
    assert_eq!(error.quota_violations()[0].name, "user:ada");

    let ours = Status::from(error);
    assert_eq!(ours.metadata().get("x-shard").unwrap(), "7");
    let seen = ours.get_error_details();
    let info = seen.error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), ("ORDER_REFUSED", "orders.example.com"));
    assert_eq!(info.metadata["shard"], "7");
    assert_eq!(seen.retry_info().unwrap().retry_delay, Some(Duration::from_secs(3)));
    assert_eq!(seen.quota_failure().unwrap().violations[0].description, "too much");
    assert_eq!(seen.bad_request().unwrap().field_violations[0].field, "email");
    assert_eq!(seen.help().unwrap().links[0].url, "https://example.com/help");
    assert!(seen.debug_info().is_none(), "stack traces stay behind");
}

#[test]
fn id_of_a_called_service_does_not_replace_the_request_id() {
    let mut status = Status::not_found("no such order");
    status.metadata_mut().insert("x-request-id", MetadataValue::from_static("theirs"));
    let failed = ApiError::from(status);
    assert!(!failed.headers().contains_key("x-request-id"));
}

#[test]
fn retry_advice_in_metadata_is_read() {
    for (name, value, wait) in [
        ("grpc-retry-pushback-ms", "1500", Some(Duration::from_millis(1500))),
        ("retry-after", "7", Some(Duration::from_secs(7))),
        ("grpc-retry-pushback-ms", "-1", None),
        ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT", None),
    ] {
        let mut status = Status::unavailable("");
        status.metadata_mut().insert(name, value.parse().unwrap());
        assert_eq!(ApiError::from(status).retry_after(), wait, "{name}: {value}");
    }
}

#[test]
fn internal_status_message_is_not_shown() {
    for status in [Status::internal("hunter2"), Status::unknown("hunter2")] {
        let error = ApiError::from(status);
        assert!(!error.message().contains("hunter2"));
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("hunter2"));
    }
}

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

async fn answer(content_type: &'static str, status: Status) -> (http::response::Parts, Bytes) {
    let service = ErrorLayer::new().layer(service_fn(move |_: Request<()>| {
        let status = status.clone();
        async move { Ok::<_, Infallible>(status.into_http::<Full<Bytes>>()) }
    }));
    let mut request = Request::post("/orders.v1.Orders/Place").body(()).unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    request.extensions_mut().insert(RequestId::parse(ID).unwrap());
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    (head, body.collect().await.unwrap().to_bytes())
}

fn says_everything(status: &Status) {
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "the order is refused"));
    let seen = status.get_error_details();
    let info = seen.error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), ("ORDER_REFUSED", "orders.v1.Orders"));
    assert_eq!(info.metadata["field"], "items[0].price");
    assert_eq!(seen.retry_info().unwrap().retry_delay, Some(Duration::from_millis(1500)));
    let quota = &seen.quota_failure().unwrap().violations[0];
    assert_eq!((&*quota.quota_id, quota.quota_value), ("daily", 100));
    assert_eq!(seen.request_info().unwrap().request_id, ID);
    let violation = &seen.bad_request().unwrap().field_violations[0];
    assert_eq!((&*violation.field, &*violation.reason), ("items[0].price", "TOO_SMALL"));
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1500");
    assert_eq!(status.metadata().get("retry-after").unwrap(), "2");
    assert_eq!(status.metadata().get("www-authenticate").unwrap(), "Bearer");
}

#[tokio::test]
async fn status_of_an_api_error_contains_the_request_id() {
    let (head, body) = answer("application/grpc", full_error().into()).await;
    assert!(body.is_empty());
    says_everything(&Status::from_header_map(&head.headers).unwrap());
}

#[tokio::test]
async fn non_grpc_client_gets_a_json_error() {
    let (head, body) = answer("application/json", full_error().into()).await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["retry-after"]),
        (400, &HeaderValue::from_static("2"))
    );
    assert!(body.starts_with(b"{\"error\":{\"code\":\"ORDER_REFUSED\""));
    assert!(head.headers.keys().all(|name| !name.as_str().starts_with("grpc-")), "{head:?}");
}

#[tokio::test]
async fn status_written_by_the_service_is_unchanged() {
    let theirs = Status::not_found("mine");
    let (head, _) = answer("application/grpc", theirs).await;
    assert!(!head.headers.contains_key("grpc-status-details-bin"));
    assert_eq!(head.headers["grpc-message"], "mine");
}

#[tokio::test]
async fn grpc_web_status_is_a_frame_of_the_body() {
    for (content_type, is) in [
        ("application/grpc-web", "application/grpc-web+proto"),
        ("application/grpc-web+proto", "application/grpc-web+proto"),
        ("application/grpc-web-text", "application/grpc-web-text+proto"),
    ] {
        let (head, body) = answer(content_type, full_error().into()).await;
        assert_eq!(
            (head.status.as_u16(), &head.headers["content-type"]),
            (200, &HeaderValue::from_static(is))
        );
        assert!(!head.headers.contains_key("grpc-status"), "once, in the body");
        let body = if is.contains("text") { STANDARD.decode(&body).unwrap().into() } else { body };
        let (start, fields) = body.split_at(5);
        assert_eq!(start[0], 0x80);
        assert_eq!(u32::from_be_bytes(start[1..].try_into().unwrap()) as usize, fields.len());
        let trailers = std::str::from_utf8(fields).unwrap().trim_end().split("\r\n");
        let trailers = trailers.map(|field| field.split_once(':').unwrap());
        let headers = trailers
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<http::HeaderMap>();
        assert_eq!(headers["x-request-id"], ID);
        says_everything(&Status::from_header_map(&headers).unwrap());
    }
}

#[tokio::test]
async fn failed_call_to_another_service_keeps_its_kind() {
    let service = ErrorLayer::new().layer(service_fn(|_: Request<()>| async {
        Err::<Response<Full<Bytes>>, _>(Status::not_found("no such order"))
    }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 404);
}
