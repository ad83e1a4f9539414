use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{GrpcCode, GrpcDetail, Issue, IssueView, QuotaViolation, rendered::Rendered};
use crate::{BoxError, set_header};

/// The error of all layers, for HTTP and gRPC.
///
/// Each kind of failure has a constructor with its HTTP status, gRPC code and stable machine code. The message is sent to
/// clients; the [source](ApiError::with_source) is only logged.
///
/// ```
/// use http::StatusCode;
/// use palisade_core::{ApiError, GrpcCode};
///
/// let error = ApiError::not_found()
///     .with_code("ORDER_NOT_FOUND")
///     .with_message("there is no such order")
///     .with_source(std::io::Error::other("orders table is empty"));
///
/// assert_eq!(error.status(), StatusCode::NOT_FOUND);
/// assert_eq!(error.grpc_code(), GrpcCode::NotFound);
/// assert_eq!(error.to_string(), "ORDER_NOT_FOUND: there is no such order");
/// ```
#[derive(Clone)]
pub struct ApiError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    status: StatusCode,
    grpc: GrpcCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    issues: Vec<Issue>,
    issues_are_truncated: bool,
    issue_view: IssueView,
    violations: Vec<QuotaViolation>,
    retry_after: Option<Duration>,
    headers: HeaderMap,
    details: Vec<GrpcDetail>,
    source: Option<Arc<dyn Error + Send + Sync>>,
    rendered: Rendered,
    logged: bool,
}

impl ApiError {
    /// Creates an error of another kind than the named constructors.
    ///
    /// `status` must not be a 1xx or 2xx. Otherwise the error is a 500, and an error is logged.
    pub fn new(
        status: StatusCode,
        grpc: GrpcCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            grpc,
            code: code.into(),
            message: message.into(),
            field: None,
            issues: Vec::new(),
            issues_are_truncated: false,
            issue_view: IssueView::List,
            violations: Vec::new(),
            retry_after: None,
            headers: HeaderMap::new(),
            details: Vec::new(),
            source: None,
            rendered: Rendered::No,
            logged: false,
        }))
        .with_status(status)
    }

    /// Sets another HTTP status. The gRPC code is not changed.
    ///
    /// A 1xx or 2xx is not accepted, because clients would treat the error as a success: the error keeps its status, and an
    /// error is logged.
    ///
    /// ```
    /// use http::StatusCode;
    /// use palisade_core::ApiError;
    ///
    /// assert_eq!(ApiError::conflict().with_status(StatusCode::GONE).status(), 410);
    /// assert_eq!(ApiError::conflict().with_status(StatusCode::OK).status(), 409);
    /// ```
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        if status >= StatusCode::MULTIPLE_CHOICES {
            self.0.status = status;
        } else {
            tracing::error!(
                target: "palisade::errors",
                code = self.code(),
                "the status of an ApiError must not be a success; got {}, and the error is sent with {}. Return your own response for a success",
                status.as_u16(),
                self.0.status.as_u16(),
            );
        }
        self
    }

    /// Answers another gRPC code. The HTTP status stays.
    #[must_use]
    pub fn with_grpc_code(mut self, code: GrpcCode) -> Self {
        self.0.grpc = code;
        self
    }

    /// Replaces the machine code: `SCREAMING_SNAKE`, and never changed once clients have seen it.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = code.into();
        self.forget_detail("ErrorInfo");
        self
    }

    /// Sets the message. It is sent to clients, so it must not contain causes, secrets or the client's input.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Names the one field that the error is about.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self.forget_detail("ErrorInfo");
        self
    }

    /// Adds issues.
    #[must_use]
    pub fn with_issues(mut self, issues: impl IntoIterator<Item = Issue>) -> Self {
        self.0.issues.extend(issues);
        self.forget_detail("BadRequest");
        self
    }

    /// Marks the list of issues as incomplete: `truncated: true` in the body.
    #[must_use]
    pub fn with_truncated_issues(mut self) -> Self {
        self.0.issues_are_truncated = true;
        self
    }

    /// Lays the issues out in another way.
    #[must_use]
    pub fn with_issue_view(mut self, view: IssueView) -> Self {
        self.0.issue_view = view;
        self
    }

    /// Adds a header that the response owes in every format, such as `WWW-Authenticate`. A name may be added more
    /// than once. Beyond 24,576 of them it is left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        let _ = self.0.headers.try_append(name, value);
        self
    }

    /// Names a quota that the request went over.
    ///
    /// Problem details list it in `violated-policies` (draft-ietf-httpapi-ratelimit-headers-10), gRPC in
    /// `google.rpc.QuotaFailure`. The envelope does not: the `RateLimit` fields are there.
    #[must_use]
    pub fn with_quota_violation(mut self, violation: QuotaViolation) -> Self {
        self.0.violations.push(violation);
        self.forget_detail("QuotaFailure");
        self
    }

    /// Sets `Retry-After` in whole seconds, rounded up and at least 1 (RFC 9110, section 10.2.3). gRPC clients also get it in
    /// milliseconds, in `google.rpc.RetryInfo` and `grpc-retry-pushback-ms`.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self.forget_detail("RetryInfo");
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        set_header(&mut self.0.headers, header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        self
    }

    /// Adds a detail for gRPC clients, unchanged, to those that are created from the error. It replaces a created one of the
    /// same type.
    ///
    /// ```
    /// use palisade_core::{ApiError, GrpcDetail};
    ///
    /// // google.rpc.Help, written by a protobuf library
    /// let help = vec![0x0a, 0x06, 0x0a, 0x04, b'd', b'o', b'c', b's'];
    /// let error = ApiError::forbidden()
    ///     .with_grpc_detail(GrpcDetail::new("type.googleapis.com/google.rpc.Help", help));
    /// ```
    #[must_use]
    pub fn with_grpc_detail(mut self, detail: GrpcDetail) -> Self {
        self.0.details.push(detail);
        self
    }

    /// Keeps the cause for the log. No format shows it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The gRPC code.
    pub fn grpc_code(&self) -> GrpcCode {
        self.0.grpc
    }

    /// The machine code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Returns the machine code as a value that can be stored. A code of the library is not copied.
    pub(crate) fn shared_code(&self) -> Cow<'static, str> {
        self.0.code.clone()
    }

    /// The message that clients see.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The one field that the error is about.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Everything that is wrong with the input.
    pub fn issues(&self) -> &[Issue] {
        &self.0.issues
    }

    /// True if there are more than are listed.
    pub fn issues_are_truncated(&self) -> bool {
        self.0.issues_are_truncated
    }

    /// Returns the layout of the issues.
    pub fn issue_view(&self) -> IssueView {
        self.0.issue_view
    }

    /// The issues, where the body lists them one after the other.
    pub(super) fn listed_issues(&self) -> &[Issue] {
        if self.0.issue_view == IssueView::List { &self.0.issues } else { &[] }
    }

    /// The quotas that the request went over.
    pub fn quota_violations(&self) -> &[QuotaViolation] {
        &self.0.violations
    }

    /// Returns the time after which to try again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns true if the log has the error.
    pub(crate) fn is_logged(&self) -> bool {
        self.0.logged
    }

    pub(super) fn set_logged(&mut self) {
        self.0.logged = true;
    }

    /// The headers that the response owes.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The details for gRPC clients that it was given.
    pub fn grpc_details(&self) -> &[GrpcDetail] {
        &self.0.details
    }

    /// A changed property no longer matches the detail that it was read from.
    fn forget_detail(&mut self, name: &str) {
        self.0.details.retain(|detail| !detail.is(name));
    }

    #[cfg(feature = "tonic")]
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.0.headers
    }

    pub(crate) fn rendered(&self) -> Rendered {
        self.0.rendered
    }

    pub(crate) fn set_rendered(&mut self, rendered: Rendered) {
        self.0.rendered = rendered;
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.0.status)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("field", &self.0.field)
            .field("issues", &self.0.issues)
            .field("headers", &self.0.headers)
            .field("source", &self.0.source)
            .finish()
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_rounds_up_and_is_never_zero() {
        let seconds = |wait| {
            let error = ApiError::rate_limited().with_retry_after(wait);
            error.headers()[header::RETRY_AFTER].to_str().unwrap().to_owned()
        };
        assert_eq!(seconds(Duration::ZERO), "1");
        assert_eq!(seconds(Duration::from_millis(1)), "1");
        assert_eq!(seconds(Duration::from_millis(6001)), "7");
        assert_eq!(seconds(Duration::from_secs(6)), "6");
    }

    #[test]
    fn source_is_not_part_of_the_message() {
        let error = ApiError::internal().with_source("password is hunter2");
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(error.source().unwrap().to_string(), "password is hunter2");
    }
}
