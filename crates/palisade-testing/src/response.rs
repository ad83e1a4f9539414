use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Collected;
use palisade_core::{AnsweredByPolicy, ApiError, Step};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::report::Sent;

/// A response, with assertions that print what was sent, what came back, and why a policy rejected the request.
///
/// Assertions return the response, so that they can be chained.
///
/// ```
/// use palisade_core::ApiError;
/// use palisade_testing::TestClient;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let app = axum::Router::new()
///     .route("/items", axum::routing::get(|| async { axum::Json(["lamp"]) }))
///     .route("/gone", axum::routing::get(|| async { ApiError::not_found() }));
/// let client = TestClient::new(app);
///
/// let items: Vec<String> =
///     client.get("/items").await.assert_status(200).assert_header("content-type", "application/json").json();
/// assert_eq!(items, ["lamp"]);
/// client.get("/gone").await.assert_rejected("NOT_FOUND");
/// # });
/// ```
pub struct TestResponse {
    status: StatusCode,
    headers: HeaderMap,
    trailers: Option<HeaderMap>,
    body: Bytes,
    error: Option<ApiError>,
    sent: Sent,
    /// A policy has authorized the request.
    is_decided: bool,
    /// A policy has answered instead of the service.
    is_from_policy: bool,
}

impl TestResponse {
    pub(crate) fn new(response: Response<Collected<Bytes>>, sent: Sent, is_decided: bool) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            trailers: body.trailers().cloned(),
            body: body.to_bytes(),
            error: head.extensions.get::<ApiError>().cloned(),
            is_from_policy: head.extensions.get::<AnsweredByPolicy>().is_some(),
            is_decided,
            sent,
        }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the first value of a header, or `None` if it is missing or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the trailers.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Returns the body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// Returns the body as text. Bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Reads the body as JSON.
    ///
    /// # Panics
    ///
    /// If the body is not JSON of this type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            self.fail(&format!("the body is not a `{}`: {error}", std::any::type_name::<T>()))
        })
    }

    /// Returns the message of a gRPC response, without the five bytes in front of it.
    ///
    /// # Panics
    ///
    /// If the body has no message.
    #[track_caller]
    pub fn grpc_message(&self) -> Bytes {
        match self.body.get(1..5).and_then(|length| length.try_into().ok()) {
            Some(length) => {
                let end = 5 + usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX - 5);
                match self.body.len() >= end {
                    true => self.body.slice(5..end),
                    false => self.fail("the gRPC message is not complete"),
                }
            }
            None => self.fail("there is no gRPC message"),
        }
    }

    /// Returns the number of the gRPC status, in the headers or the trailers.
    pub fn grpc_status(&self) -> Option<u8> {
        let trailers = self.trailers.as_ref().unwrap_or(&self.headers);
        let value = trailers.get("grpc-status").or_else(|| self.headers.get("grpc-status"));
        value?.to_str().ok()?.parse().ok()
    }

    /// Returns the error code, if the request was rejected or failed: that of the body (`code` or `error.code`), of the error behind
    /// the response, or the name of the gRPC status.
    pub fn error_code(&self) -> Option<String> {
        let is_grpc_error = self.grpc_status().is_some_and(|status| status != 0);
        if !is_grpc_error && !self.status.is_client_error() && !self.status.is_server_error() {
            return None;
        }
        let body = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        let code = body.get("code").or_else(|| body.pointer("/error/code"));
        let of_body = code.and_then(Value::as_str).map(str::to_owned);
        let of_error = || self.error.as_ref().map(|error| error.code().to_owned());
        of_body.or_else(of_error).or_else(|| self.grpc_status().and_then(grpc_name))
    }

    /// Returns the policies that decided about the request, in their order. An `Observe` with a subscriber or metrics records those
    /// inside of it for itself: they are in its log.
    pub fn policies(&self) -> &[Step] {
        &self.sent.steps
    }

    pub(crate) fn is_decided(&self) -> bool {
        self.is_decided
    }

    pub(crate) fn is_from_policy(&self) -> bool {
        self.is_from_policy
    }

    /// Asserts the status.
    ///
    /// # Panics
    ///
    /// If the status is another one.
    #[track_caller]
    pub fn assert_status(&self, expected: u16) -> &Self {
        if self.status.as_u16() != expected {
            self.fail(&format!("expected status {expected}, got {}", self.status));
        }
        self
    }

    /// Asserts a status from 200 to 299.
    ///
    /// # Panics
    ///
    /// If the status is another one.
    #[track_caller]
    pub fn assert_success(&self) -> &Self {
        if !self.status.is_success() {
            self.fail(&format!("expected success, got {}", self.status));
        }
        self
    }

    /// Asserts that a policy or the service rejected the request with this error code, such as `FORBIDDEN`. The code is read from
    /// the body of any error format, from the error behind the response, or from the gRPC status.
    ///
    /// # Panics
    ///
    /// If the request was not rejected, or with another code.
    #[track_caller]
    pub fn assert_rejected(&self, code: &str) -> &Self {
        match self.error_code() {
            Some(actual) if actual == code => self,
            Some(actual) => self.fail(&format!("expected the rejection {code}, got {actual}")),
            None => self.fail(&format!(
                "expected the rejection {code}, got {} without an error code",
                self.status
            )),
        }
    }

    /// Asserts that a header has this value, in one of its lines.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[track_caller]
    pub fn assert_header(&self, name: &str, expected: &str) -> &Self {
        let values: Vec<_> =
            self.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
        if values.is_empty() {
            self.fail(&format!("expected `{name}: {expected}`, got no such header"));
        }
        if !values.contains(&expected.as_bytes()) {
            let values: Vec<_> = values.into_iter().map(String::from_utf8_lossy).collect();
            self.fail(&format!("expected `{name}: {expected}`, got `{}`", values.join("`, `")));
        }
        self
    }

    /// Asserts that a header is missing.
    ///
    /// # Panics
    ///
    /// If it is there.
    #[track_caller]
    pub fn assert_no_header(&self, name: &str) -> &Self {
        if self.headers.contains_key(name) {
            self.fail(&format!("expected no header `{name}`"));
        }
        self
    }

    /// Asserts the body as JSON.
    ///
    /// # Panics
    ///
    /// If it is another value, or not JSON.
    #[track_caller]
    pub fn assert_json(&self, expected: &Value) -> &Self {
        let actual: Value = self.json();
        if actual != *expected {
            self.fail(&format!("expected the body {expected}, got {actual}"));
        }
        self
    }

    /// Asserts the body as text.
    ///
    /// # Panics
    ///
    /// If it is another text.
    #[track_caller]
    pub fn assert_text(&self, expected: &str) -> &Self {
        if self.body != expected {
            self.fail(&format!("expected the body {expected:?}, got {:?}", self.text()));
        }
        self
    }

    /// Asserts the number of the gRPC status; 0 is success.
    ///
    /// # Panics
    ///
    /// If it is another one, or missing.
    #[track_caller]
    pub fn assert_grpc_status(&self, expected: u8) -> &Self {
        match self.grpc_status() {
            Some(status) if status == expected => self,
            Some(status) => self.fail(&format!("expected gRPC status {expected}, got {status}")),
            None => self.fail(&format!("expected gRPC status {expected}, got none")),
        }
    }

    #[track_caller]
    fn fail(&self, expectation: &str) -> ! {
        let error = self.error.as_ref();
        panic!("{}", self.sent.report(expectation, self.status, &self.headers, &self.body, error))
    }
}

/// Returns the name of a status, as protobuf spells it (<https://grpc.io/docs/guides/status-codes/>).
fn grpc_name(number: u8) -> Option<String> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(number)).map(|name| (*name).to_owned())
}

impl fmt::Debug for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestResponse")
            .field("method", self.sent.method())
            .field("uri", self.sent.uri())
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &self.text())
            .finish_non_exhaustive()
    }
}
