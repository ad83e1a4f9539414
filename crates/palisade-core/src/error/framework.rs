//! Errors that the framework answers by itself, in words of its own, and how they are told from answers that a service
//! made on purpose.

use bytes::Bytes;
use http::{Extensions, HeaderValue, StatusCode, header, response};

use super::{ApiError, GrpcCode, kinds::METHOD_NOT_ALLOWED};
use crate::AnsweredByPolicy;

/// The most bytes of text that are read to tell whose they are.
pub(super) const MAX_TEXT: u64 = 16 * 1024;

/// A status, the beginning of the text, and what it is.
type Rejection = (StatusCode, &'static str, fn() -> ApiError);

/// What axum's extractors say, and tower-http's limit of bodies.
const REJECTIONS: &[Rejection] = &[
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Expected request with `Content-Type: application/json`",
        ApiError::unsupported_media_type,
    ),
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Form requests must have `Content-Type: application/x-www-form-urlencoded`",
        ApiError::unsupported_media_type,
    ),
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        "Failed to deserialize the JSON body into the target type: ",
        ApiError::unprocessable,
    ),
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        "Failed to deserialize form body: ",
        ApiError::unprocessable,
    ),
    (StatusCode::BAD_REQUEST, "Failed to parse the request body as JSON: ", ApiError::invalid_json),
    (StatusCode::BAD_REQUEST, "Failed to deserialize form: ", ApiError::bad_request),
    (StatusCode::BAD_REQUEST, "Failed to deserialize query string: ", ApiError::bad_request),
    (StatusCode::BAD_REQUEST, "Invalid URL: ", ApiError::bad_request),
    (StatusCode::BAD_REQUEST, "Failed to buffer the request body: ", ApiError::bad_request),
    (StatusCode::BAD_REQUEST, "Request body didn't contain valid UTF-8: ", ApiError::bad_request),
    (
        StatusCode::BAD_REQUEST,
        "Invalid `boundary` for `multipart/form-data` request",
        ApiError::bad_request,
    ),
    (
        StatusCode::PAYLOAD_TOO_LARGE,
        "Failed to buffer the request body: ",
        ApiError::payload_too_large,
    ),
    (StatusCode::PAYLOAD_TOO_LARGE, "length limit exceeded", ApiError::payload_too_large),
    (StatusCode::BAD_REQUEST, "Invalid UTF-8 in `", ApiError::bad_request),
    // What reading the parts of a multipart form fails with, if a handler returns that.
    (StatusCode::PAYLOAD_TOO_LARGE, "Request payload is too large", ApiError::payload_too_large),
    (StatusCode::BAD_REQUEST, "incomplete multipart stream", ApiError::bad_request),
    (StatusCode::BAD_REQUEST, "failed to read headers", ApiError::bad_request),
    (StatusCode::BAD_REQUEST, "failed to read field complete headers", ApiError::bad_request),
    (StatusCode::BAD_REQUEST, "failed to decode field's raw header ", ApiError::bad_request),
    // A mistake of ours, whose text would show the names of our types.
    (StatusCode::INTERNAL_SERVER_ERROR, "Missing request extension: ", ApiError::internal),
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "No paths parameters found for matched route",
        ApiError::internal,
    ),
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "Wrong number of path arguments for `Path`",
        ApiError::internal,
    ),
    (StatusCode::INTERNAL_SERVER_ERROR, "Unsupported type `", ApiError::internal),
    (StatusCode::INTERNAL_SERVER_ERROR, "No matched path found", ApiError::internal),
    (StatusCode::INTERNAL_SERVER_ERROR, "The matched route is not nested", ApiError::internal),
];

/// What the head of a response says of who made it.
pub(super) enum Suspicion {
    /// The framework: this is the error.
    Certain(ApiError),
    /// The text must tell.
    DependsOnText,
}

/// True if a route was found before the request came here, which axum says to layers of a `Router`.
pub(super) fn is_routed(request: &Extensions) -> bool {
    #[cfg(feature = "axum")]
    let routed = request.get::<axum::extract::MatchedPath>().is_some();
    #[cfg(not(feature = "axum"))]
    let (routed, _) = (false, request);
    routed
}

/// Looks at the head of a response that carries no error of ours. `length` is that of its body, where it is known.
pub(super) fn suspect(
    head: &response::Parts,
    length: Option<u64>,
    routed: bool,
) -> Option<Suspicion> {
    let made_on_purpose = head.extensions.get::<AnsweredByPolicy>().is_some()
        || head.headers.contains_key(header::CONTENT_ENCODING);
    if made_on_purpose {
        return None;
    }
    let content_type = head.headers.get(header::CONTENT_TYPE);
    match (head.status, content_type, length?) {
        (StatusCode::NOT_FOUND, None, 0) if !routed => {
            // A method that nobody serves is UNIMPLEMENTED over gRPC; NOT_FOUND is for what methods look for.
            Some(Suspicion::Certain(ApiError::not_found().with_grpc_code(GrpcCode::Unimplemented)))
        }
        // axum writes `Allow` outside of the layers of a route. Who is further out sees it on the response.
        (StatusCode::METHOD_NOT_ALLOWED, None, 0)
            if routed || head.headers.contains_key(header::ALLOW) =>
        {
            Some(Suspicion::Certain(METHOD_NOT_ALLOWED.into()))
        }
        (status, Some(content_type), 1..=MAX_TEXT)
            if is_plain_text(content_type) && REJECTIONS.iter().any(|(of, ..)| *of == status) =>
        {
            Some(Suspicion::DependsOnText)
        }
        _ => None,
    }
}

/// As axum writes it.
fn is_plain_text(content_type: &HeaderValue) -> bool {
    content_type == "text/plain; charset=utf-8"
}

/// The error of which the framework says this. What it said becomes the cause: it may repeat what the client sent, or
/// name types of ours.
pub(super) fn of_text(status: StatusCode, text: &Bytes) -> Option<ApiError> {
    let says_this = |start: &str| text.starts_with(start.as_bytes());
    let (_, _, kind) =
        REJECTIONS.iter().find(|(of, start, _)| *of == status && says_this(start))?;
    Some(kind().with_source(String::from_utf8_lossy(text).into_owned()))
}
