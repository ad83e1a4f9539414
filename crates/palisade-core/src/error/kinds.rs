use http::{HeaderValue, Method, StatusCode, header};

use super::{ApiError, GrpcCode, Issue};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $status:ident, $grpc:ident, $code:literal, $message:literal;)*) => {
        impl ApiError {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nHTTP `", stringify!($status), "`, gRPC `", stringify!($grpc), "`, code `", $code, "`.")]
                pub fn $name() -> Self {
                    Self::new(StatusCode::$status, GrpcCode::$grpc, $code, $message)
                }
            )*
        }

        #[cfg(test)]
        const KINDS: &[(&str, fn() -> ApiError)] = &[$((stringify!($name), ApiError::$name)),*];
    };
}

kinds! {
    /// The request makes no sense.
    bad_request, BAD_REQUEST, InvalidArgument, "BAD_REQUEST", "the request is malformed";
    /// The body is not JSON.
    invalid_json, BAD_REQUEST, InvalidArgument, "INVALID_JSON", "the body is not valid JSON";
    /// Nothing of this name is here.
    not_found, NOT_FOUND, NotFound, "NOT_FOUND", "not found";
    /// No answer in a form that the client accepts.
    not_acceptable, NOT_ACCEPTABLE, InvalidArgument, "NOT_ACCEPTABLE", "no acceptable representation";
    /// The client sent its request too slowly.
    request_timeout, REQUEST_TIMEOUT, DeadlineExceeded, "REQUEST_TIMEOUT", "the request took too long to arrive";
    /// The request contradicts the present state.
    conflict, CONFLICT, Aborted, "CONFLICT", "the request conflicts with the current state";
    /// What was to be created is there already.
    already_exists, CONFLICT, AlreadyExists, "ALREADY_EXISTS", "it already exists";
    /// A precondition of the request does not hold.
    precondition_failed, PRECONDITION_FAILED, FailedPrecondition, "PRECONDITION_FAILED", "a precondition failed";
    /// The body is over its limit.
    payload_too_large, PAYLOAD_TOO_LARGE, ResourceExhausted, "PAYLOAD_TOO_LARGE", "the request body is too large";
    /// The URI is over its limit.
    uri_too_long, URI_TOO_LONG, InvalidArgument, "URI_TOO_LONG", "the URI is too long";
    /// The body is of a type that is not understood.
    unsupported_media_type, UNSUPPORTED_MEDIA_TYPE, InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", "the media type is not supported";
    /// The request is well-formed and cannot be followed.
    unprocessable, UNPROCESSABLE_ENTITY, InvalidArgument, "UNPROCESSABLE", "the request cannot be processed";
    /// The request must carry a precondition such as `If-Match`.
    precondition_required, PRECONDITION_REQUIRED, FailedPrecondition, "PRECONDITION_REQUIRED", "a precondition is required";
    /// Too many requests. Say when to come back with [`with_retry_after`](ApiError::with_retry_after).
    rate_limited, TOO_MANY_REQUESTS, ResourceExhausted, "RATE_LIMITED", "too many requests";
    /// The header fields are over their limit.
    headers_too_large, REQUEST_HEADER_FIELDS_TOO_LARGE, ResourceExhausted, "HEADERS_TOO_LARGE", "the header fields are too large";
    /// A failure of ours. The cause belongs in the [source](ApiError::with_source).
    internal, INTERNAL_SERVER_ERROR, Internal, "INTERNAL", "internal error";
    /// The method is known to nobody here.
    not_implemented, NOT_IMPLEMENTED, Unimplemented, "NOT_IMPLEMENTED", "not implemented";
    /// It cannot be told or done now: overload, or a dependency that is down. A policy that could not tell says this.
    unavailable, SERVICE_UNAVAILABLE, Unavailable, "UNAVAILABLE", "temporarily unavailable";
    /// The answer took too long to make.
    deadline_exceeded, GATEWAY_TIMEOUT, DeadlineExceeded, "DEADLINE_EXCEEDED", "the request took too long";
}

impl ApiError {
    /// Nobody knows who is calling. The response must carry a challenge (RFC 9110, section 15.5.2): add it with
    /// [`with_header`](ApiError::with_header). It is not stored by caches.
    ///
    /// HTTP `UNAUTHORIZED`, gRPC `Unauthenticated`, code `UNAUTHENTICATED`.
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            GrpcCode::Unauthenticated,
            "UNAUTHENTICATED",
            "authentication is required",
        )
        .never_stored()
    }

    /// The caller is known and may not. It is not stored by caches.
    ///
    /// HTTP `FORBIDDEN`, gRPC `PermissionDenied`, code `FORBIDDEN`.
    pub fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            GrpcCode::PermissionDenied,
            "FORBIDDEN",
            "access is denied",
        )
        .never_stored()
    }

    /// The method is not offered here; the response says which are (RFC 9110, section 15.5.6).
    ///
    /// HTTP `METHOD_NOT_ALLOWED`, gRPC `Unimplemented`, code `METHOD_NOT_ALLOWED`.
    pub fn method_not_allowed<'a>(allowed: impl IntoIterator<Item = &'a Method>) -> Self {
        let allowed = allowed.into_iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        // Method names are tokens, so joining them always makes a header value.
        let allowed = HeaderValue::from_str(&allowed).unwrap_or(HeaderValue::from_static(""));
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            GrpcCode::Unimplemented,
            "METHOD_NOT_ALLOWED",
            "the method is not allowed",
        )
        .with_header(header::ALLOW, allowed)
    }

    /// The input breaks rules: all of them at once. Choose 422 with [`with_status`](ApiError::with_status).
    ///
    /// HTTP `BAD_REQUEST`, gRPC `InvalidArgument`, code `VALIDATION_ERROR`.
    pub fn validation(issues: impl IntoIterator<Item = Issue>) -> Self {
        let error = Self::new(
            StatusCode::BAD_REQUEST,
            GrpcCode::InvalidArgument,
            "VALIDATION_ERROR",
            "the input is not valid",
        )
        .with_issues(issues);
        match error.issues() {
            [only] if !only.path.is_empty() => {
                let field = only.path.clone();
                error.with_field(field)
            }
            _ => error,
        }
    }

    /// The kind of error that has this gRPC code.
    #[cfg(feature = "tonic")]
    pub(crate) fn of_grpc_code(code: GrpcCode) -> Self {
        let error = match code {
            GrpcCode::InvalidArgument | GrpcCode::OutOfRange => Self::bad_request(),
            GrpcCode::DeadlineExceeded => Self::deadline_exceeded(),
            GrpcCode::NotFound => Self::not_found(),
            GrpcCode::AlreadyExists => Self::already_exists(),
            GrpcCode::PermissionDenied => Self::forbidden(),
            GrpcCode::ResourceExhausted => Self::rate_limited(),
            GrpcCode::FailedPrecondition => Self::precondition_failed(),
            GrpcCode::Aborted => Self::conflict(),
            GrpcCode::Unimplemented => Self::not_implemented(),
            GrpcCode::Unavailable => Self::unavailable(),
            GrpcCode::Unauthenticated => Self::unauthenticated(),
            GrpcCode::Ok
            | GrpcCode::Cancelled
            | GrpcCode::Unknown
            | GrpcCode::Internal
            | GrpcCode::DataLoss => Self::internal(),
        };
        error.with_grpc_code(code)
    }

    fn never_stored(self) -> Self {
        self.with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_is_an_error_with_a_code_of_its_own() {
        let mut codes = HashSet::new();
        for (name, make) in KINDS {
            let error = make();
            assert!(error.status().is_client_error() || error.status().is_server_error(), "{name}");
            assert!(error.grpc_code() != GrpcCode::Ok, "{name}");
            assert!(codes.insert(error.code().to_owned()), "{name} has the code of another kind");
            assert!(
                error.code().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
                "{name}"
            );
        }
    }

    #[test]
    fn a_single_issue_names_the_field() {
        let one = ApiError::validation([Issue::new("email", "invalid_email", "no")]);
        assert_eq!(one.field(), Some("email"));
        let two = ApiError::validation([Issue::new("a", "x", "y"), Issue::new("b", "x", "y")]);
        assert_eq!(two.field(), None);
    }

    #[test]
    fn a_405_says_what_is_allowed() {
        let error = ApiError::method_not_allowed([&Method::GET, &Method::HEAD]);
        assert_eq!(error.headers()[header::ALLOW], "GET, HEAD");
    }
}
