use http::{HeaderMap, HeaderValue, StatusCode, header, response};
use palisade_core::{ApiError, GrpcCode, is_grpc, is_grpc_web};

/// Codes of rejections that happened before the handler did anything. They are decided again on a retry.
const BEFORE_EXECUTION: [&str; 3] = ["VALIDATION_ERROR", "INVALID_JSON", "UNSUPPORTED_MEDIA_TYPE"];

/// Returns whether a response with this head may be the result of the request, which retries get. Other responses release the
/// key, so that a retry runs.
pub(crate) fn is_result(head: &response::Parts, store_server_errors: bool) -> bool {
    let error = head.extensions.get::<ApiError>();
    if error.is_some_and(|error| BEFORE_EXECUTION.contains(&error.code())) {
        return false;
    }
    match head.status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::TOO_EARLY
        | StatusCode::TOO_MANY_REQUESTS => false,
        status if status.is_server_error() => store_server_errors,
        status => !status.is_informational() && grpc_is_result(&head.headers, store_server_errors),
    }
}

/// The same for a gRPC status in these headers or trailers, if there is one.
pub(crate) fn grpc_is_result(fields: &HeaderMap, store_server_errors: bool) -> bool {
    fields.get("grpc-status").is_none_or(|status| code_is_result(status, store_server_errors))
}

fn code_is_result(status: &HeaderValue, store_server_errors: bool) -> bool {
    const RESULTS: [GrpcCode; 6] = [
        GrpcCode::Ok,
        GrpcCode::InvalidArgument,
        GrpcCode::NotFound,
        GrpcCode::AlreadyExists,
        GrpcCode::FailedPrecondition,
        GrpcCode::OutOfRange,
    ];
    const SERVER_ERRORS: [GrpcCode; 3] =
        [GrpcCode::Unknown, GrpcCode::Internal, GrpcCode::DataLoss];
    let is = |code: &GrpcCode| status.as_bytes() == (*code as i32).to_string().as_bytes();
    RESULTS.iter().any(is) || store_server_errors && SERVER_ERRORS.iter().any(is)
}

/// Returns whether the status of a response is in its trailers, so that a body without them was cut off.
pub(crate) fn has_status_in_trailers(headers: &HeaderMap) -> bool {
    is_grpc(headers) && !headers.contains_key("grpc-status")
}

/// Returns whether a response is a stream of events, or one whose outcome its head and trailers do not have: the frames of
/// gRPC-web contain it.
pub(crate) fn is_opaque_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("text/event-stream") || is_grpc_web(headers)
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn stored(status: u16, store_server_errors: bool) -> bool {
        let response = Response::builder().status(status).body(()).unwrap();
        is_result(&response.into_parts().0, store_server_errors)
    }

    #[test]
    fn only_final_statuses_are_stored() {
        for status in [200, 201, 204, 302, 400, 402, 404, 410, 422] {
            assert!(stored(status, false), "{status}");
        }
        for status in [401, 403, 408, 409, 413, 425, 429, 500, 502, 503, 504] {
            assert!(!stored(status, false), "{status}");
            assert_eq!(stored(status, true), status >= 500, "{status}");
        }
    }

    #[test]
    fn validation_rejections_are_not_stored() {
        let (mut head, ()) = Response::builder().status(422).body(()).unwrap().into_parts();
        head.extensions.insert(ApiError::validation([]));
        assert!(!is_result(&head, true));
        head.extensions.insert(ApiError::unprocessable());
        assert!(is_result(&head, false));
    }

    #[test]
    fn grpc_statuses_count_like_their_http_equivalents() {
        for code in 0..=17 {
            let fields = HeaderMap::from_iter([(
                header::HeaderName::from_static("grpc-status"),
                HeaderValue::from(code),
            )]);
            assert_eq!(
                grpc_is_result(&fields, false),
                [0, 3, 5, 6, 9, 11].contains(&code),
                "{code}"
            );
            let with_errors = [0, 2, 3, 5, 6, 9, 11, 13, 15].contains(&code);
            assert_eq!(grpc_is_result(&fields, true), with_errors, "{code}");
        }
    }
}
