use http::{HeaderValue, Method, StatusCode, header};

use super::{ApiError, ErrorCode, GrpcCode, Issue};

macro_rules! kinds {
    ($(
        #[doc = $about:literal]
        $(#[$doc:meta])*
        $name:ident = $constant:ident: $status:ident, $grpc:ident, $message:literal;
    )*) => {
        $(
            const $constant: ErrorCode =
                ErrorCode::new(stringify!($constant), StatusCode::$status, GrpcCode::$grpc, $message)
                    .about($about.trim_ascii());
        )*

        impl ApiError {
            $(
                #[doc = $about]
                $(#[$doc])*
                #[doc = concat!("\n\nHTTP `", stringify!($status), "`, gRPC `", stringify!($grpc), "`, code `", stringify!($constant), "`.")]
                pub fn $name() -> Self {
                    $constant.into()
                }
            )*
        }
    };
}

kinds! {
    /// The request makes no sense.
    bad_request = BAD_REQUEST: BAD_REQUEST, InvalidArgument, "the request is malformed";
    /// The body is not JSON.
    invalid_json = INVALID_JSON: BAD_REQUEST, InvalidArgument, "the body is not valid JSON";
    /// The resource does not exist.
    not_found = NOT_FOUND: NOT_FOUND, NotFound, "not found";
    /// There is no representation that the client accepts.
    not_acceptable = NOT_ACCEPTABLE: NOT_ACCEPTABLE, InvalidArgument, "no acceptable representation";
    /// The client sent its request too slowly.
    request_timeout = REQUEST_TIMEOUT: REQUEST_TIMEOUT, DeadlineExceeded, "the request took too long to arrive";
    /// The request contradicts the present state.
    conflict = CONFLICT: CONFLICT, Aborted, "the request conflicts with the current state";
    /// The resource to create exists already.
    already_exists = ALREADY_EXISTS: CONFLICT, AlreadyExists, "it already exists";
    /// A precondition of the request does not hold.
    precondition_failed = PRECONDITION_FAILED: PRECONDITION_FAILED, FailedPrecondition, "a precondition failed";
    /// The body is over its limit.
    payload_too_large = PAYLOAD_TOO_LARGE: PAYLOAD_TOO_LARGE, ResourceExhausted, "the request body is too large";
    /// The URI is over its limit.
    uri_too_long = URI_TOO_LONG: URI_TOO_LONG, InvalidArgument, "the URI is too long";
    /// The body is of a type that is not understood.
    unsupported_media_type = UNSUPPORTED_MEDIA_TYPE: UNSUPPORTED_MEDIA_TYPE, InvalidArgument, "the media type is not supported";
    /// The request is well-formed and cannot be followed.
    unprocessable = UNPROCESSABLE: UNPROCESSABLE_ENTITY, InvalidArgument, "the request cannot be processed";
    /// The request must carry a precondition such as `If-Match`.
    precondition_required = PRECONDITION_REQUIRED: PRECONDITION_REQUIRED, FailedPrecondition, "a precondition is required";
    /// Too many requests. Set `Retry-After` with [`with_retry_after`](ApiError::with_retry_after) if a retry can help.
    rate_limited = RATE_LIMITED: TOO_MANY_REQUESTS, ResourceExhausted, "too many requests";
    /// The header fields are over their limit.
    headers_too_large = HEADERS_TOO_LARGE: REQUEST_HEADER_FIELDS_TOO_LARGE, ResourceExhausted, "the header fields are too large";
    /// A failure of the service. The log contains the cause with the request id.
    ///
    /// Set the cause as [source](ApiError::with_source).
    internal = INTERNAL: INTERNAL_SERVER_ERROR, Internal, "internal error";
    /// The method is not supported by the service.
    not_implemented = NOT_IMPLEMENTED: NOT_IMPLEMENTED, Unimplemented, "not implemented";
    /// The service is overloaded or a dependency has failed. The same request may succeed later.
    ///
    /// Policies that fail return this.
    unavailable = UNAVAILABLE: SERVICE_UNAVAILABLE, Unavailable, "temporarily unavailable";
    /// The answer took too long to make.
    deadline_exceeded = DEADLINE_EXCEEDED: GATEWAY_TIMEOUT, DeadlineExceeded, "the request took too long";
}

const UNAUTHENTICATED: ErrorCode = ErrorCode::new(
    "UNAUTHENTICATED",
    StatusCode::UNAUTHORIZED,
    GrpcCode::Unauthenticated,
    "authentication is required",
)
.about("Credentials are missing or not valid. `WWW-Authenticate` names the accepted schemes.");

const FORBIDDEN: ErrorCode = ErrorCode::new(
    "FORBIDDEN",
    StatusCode::FORBIDDEN,
    GrpcCode::PermissionDenied,
    "access is denied",
)
.about("The caller is authenticated, and not allowed to do this.");

pub(crate) const METHOD_NOT_ALLOWED: ErrorCode = ErrorCode::new(
    "METHOD_NOT_ALLOWED",
    StatusCode::METHOD_NOT_ALLOWED,
    GrpcCode::Unimplemented,
    "the method is not allowed",
)
.about("The resource does not support the method; `Allow` lists those that it supports.");

const VALIDATION_ERROR: ErrorCode = ErrorCode::new(
    "VALIDATION_ERROR",
    StatusCode::BAD_REQUEST,
    GrpcCode::InvalidArgument,
    "the input is not valid",
)
.about("The input breaks rules; `issues` lists each of them.");

impl ApiError {
    /// Every kind that has a constructor here, by HTTP status. Other crates of the project, and yours, may add codes.
    ///
    /// ```
    /// use palisade_core::ApiError;
    ///
    /// assert!(ApiError::KINDS.iter().any(|kind| kind.code == ApiError::rate_limited().code()));
    /// ```
    pub const KINDS: &'static [ErrorCode] = &[
        BAD_REQUEST,
        INVALID_JSON,
        VALIDATION_ERROR,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        NOT_ACCEPTABLE,
        REQUEST_TIMEOUT,
        CONFLICT,
        ALREADY_EXISTS,
        PRECONDITION_FAILED,
        PAYLOAD_TOO_LARGE,
        URI_TOO_LONG,
        UNSUPPORTED_MEDIA_TYPE,
        UNPROCESSABLE,
        PRECONDITION_REQUIRED,
        RATE_LIMITED,
        HEADERS_TOO_LARGE,
        INTERNAL,
        NOT_IMPLEMENTED,
        UNAVAILABLE,
        DEADLINE_EXCEEDED,
    ];

    /// The caller is not authenticated. The response must contain a challenge (RFC 9110, section 15.5.2): add it with
    /// [`with_header`](ApiError::with_header). Caches do not store it.
    ///
    /// HTTP `UNAUTHORIZED`, gRPC `Unauthenticated`, code `UNAUTHENTICATED`.
    pub fn unauthenticated() -> Self {
        UNAUTHENTICATED.into()
    }

    /// The caller is authenticated, and not allowed to do this. It is not stored by caches.
    ///
    /// HTTP `FORBIDDEN`, gRPC `PermissionDenied`, code `FORBIDDEN`.
    pub fn forbidden() -> Self {
        FORBIDDEN.into()
    }

    /// The resource does not support the method. `Allow` lists the supported ones (RFC 9110, section 15.5.6).
    ///
    /// HTTP `METHOD_NOT_ALLOWED`, gRPC `Unimplemented`, code `METHOD_NOT_ALLOWED`.
    pub fn method_not_allowed<'a>(allowed: impl IntoIterator<Item = &'a Method>) -> Self {
        let allowed = allowed.into_iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        // Method names are tokens, so joining them always makes a header value.
        let allowed = HeaderValue::from_str(&allowed).unwrap_or(HeaderValue::from_static(""));
        Self::from(METHOD_NOT_ALLOWED).with_header(header::ALLOW, allowed)
    }

    /// The input breaks rules: all of them at once. Choose 422 with [`with_status`](ApiError::with_status).
    ///
    /// HTTP `BAD_REQUEST`, gRPC `InvalidArgument`, code `VALIDATION_ERROR`.
    pub fn validation(issues: impl IntoIterator<Item = Issue>) -> Self {
        let error = Self::from(VALIDATION_ERROR).with_issues(issues);
        match error.issues() {
            [only] if !only.path.is_empty() => {
                let field = only.path.clone();
                error.with_field(field)
            }
            _ => error,
        }
    }

    /// Returns the most general kind of error with this HTTP status, if there is one.
    pub(crate) fn of_status(status: StatusCode) -> Option<Self> {
        Self::KINDS.iter().find(|kind| kind.status == status).map(|kind| Self::from(*kind))
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
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_kind_has_a_unique_code() {
        let mut codes = HashSet::new();
        for kind in ApiError::KINDS {
            let code = kind.code;
            assert!(kind.status.is_client_error() || kind.status.is_server_error(), "{code}");
            assert!(kind.grpc != GrpcCode::Ok, "{code}");
            assert!(codes.insert(code), "{code} is there twice");
            assert!(code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code}");
            assert!(kind.about.ends_with('.'), "{code} says what it is about");
        }
        assert!(ApiError::KINDS.is_sorted_by_key(|kind| kind.status));
    }

    #[test]
    fn field_is_set_for_a_single_issue_only() {
        let one = ApiError::validation([Issue::new("email", "invalid_email", "no")]);
        assert_eq!(one.field(), Some("email"));
        let two = ApiError::validation([Issue::new("a", "x", "y"), Issue::new("b", "x", "y")]);
        assert_eq!(two.field(), None);
    }

    #[test]
    fn error_405_lists_the_allowed_methods() {
        let error = ApiError::method_not_allowed([&Method::GET, &Method::HEAD]);
        assert_eq!(error.headers()[header::ALLOW], "GET, HEAD");
    }
}
