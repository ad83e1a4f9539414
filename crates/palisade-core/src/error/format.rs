use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Response, request};
use serde::Serialize;

use super::{ApiError, ErrorContext, Issue, issue_view::BesideIssues};

/// How errors look. gRPC requests get gRPC errors whatever is chosen.
///
/// | format | body |
/// | --- | --- |
/// | envelope | `{"error":{"code":"…","message":"…","field":"…","issues":[…],"request_id":"…"}}` |
/// | flat | `{"error":"…","code":"…"}`, and `issues` where there are any |
/// | problem | RFC 9457, `application/problem+json`, with `code` and `issues` as extension members, and `violated-policies` of a used-up quota |
/// | custom | a function of yours |
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ErrorFormat {
    /// Everything inside one `error` object.
    #[default]
    Envelope,
    /// Message and code side by side.
    Flat,
    /// Problem details for HTTP APIs, RFC 9457.
    Problem,
    /// A function of yours; see [`ErrorFormat::custom`].
    Custom(Custom),
}

/// A format of the user's own.
#[derive(Clone)]
pub struct Custom(Arc<Render>);

type Render = dyn Fn(&ApiError, &request::Parts) -> Response<Bytes> + Send + Sync;

impl Custom {
    pub(super) fn render(&self, error: &ApiError, request: &request::Parts) -> Response<Bytes> {
        (self.0)(error, request)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom")
    }
}

impl ErrorFormat {
    /// Calls `render` for each error. Status, headers and body are the function's; headers that the error owes, and
    /// those of the policies outside, are added where the function sets none of that name.
    ///
    /// The head of each request is copied for it, which costs about as much as a small policy.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use palisade_core::{ErrorFormat, ErrorLayer};
    ///
    /// let plain = ErrorFormat::custom(|error, request| {
    ///     let text = format!("{} {}: {}", request.method, request.uri.path(), error.message());
    ///     Response::builder().status(error.status()).body(Bytes::from(text)).unwrap_or_default()
    /// });
    /// let layer = ErrorLayer::new().format(plain);
    /// ```
    pub fn custom<F>(render: F) -> Self
    where
        F: Fn(&ApiError, &request::Parts) -> Response<Bytes> + Send + Sync + 'static,
    {
        Self::Custom(Custom(Arc::new(render)))
    }
}

impl fmt::Debug for ErrorFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Envelope => "Envelope",
            Self::Flat => "Flat",
            Self::Problem => "Problem",
            Self::Custom(_) => "Custom",
        })
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: EnvelopeError<'a>,
}

#[derive(Serialize)]
struct EnvelopeError<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Issue]>::is_empty")]
    issues: &'a [Issue],
    #[serde(flatten)]
    beside_issues: BesideIssues<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Flat<'a> {
    error: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "<[Issue]>::is_empty")]
    issues: &'a [Issue],
    #[serde(flatten)]
    beside_issues: BesideIssues<'a>,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    code: &'a str,
    #[serde(skip_serializing_if = "<[Issue]>::is_empty")]
    issues: &'a [Issue],
    #[serde(flatten)]
    beside_issues: BesideIssues<'a>,
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<&'a str>,
}

/// The problem type of a request that is over its quota.
const QUOTA_EXCEEDED: (&str, &str) = (
    "https://iana.org/assignments/http-problem-types#quota-exceeded",
    "Request cannot be satisfied as assigned quota has been exceeded",
);

/// The media type and the body of an error. A custom format is rendered by the layer that has the request's head.
pub(super) fn render(
    format: &ErrorFormat,
    error: &ApiError,
    context: &ErrorContext,
) -> (&'static str, Bytes) {
    let (code, message, issues) = (error.code(), error.message(), error.listed_issues());
    let beside_issues = BesideIssues(error);
    let request_id = context.request_id().map(crate::RequestId::as_str);
    match format {
        ErrorFormat::Envelope | ErrorFormat::Custom(_) => {
            let error = EnvelopeError {
                code,
                message,
                field: error.field(),
                issues,
                beside_issues,
                request_id,
            };
            ("application/json", json(&Envelope { error }))
        }
        ErrorFormat::Flat => {
            ("application/json", json(&Flat { error: message, code, issues, beside_issues }))
        }
        ErrorFormat::Problem => {
            let violations = error.quota_violations();
            let (r#type, title) = if violations.is_empty() {
                // With `about:blank` the title is the status phrase (RFC 9457, section 4.2.1).
                ("about:blank", error.status().canonical_reason().unwrap_or("Error"))
            } else {
                QUOTA_EXCEEDED
            };
            let problem = Problem {
                r#type,
                title,
                status: error.status().as_u16(),
                detail: message,
                instance: request_id.map(instance),
                code,
                issues,
                beside_issues,
                violated_policies: violations.iter().map(|quota| &*quota.name).collect(),
            };
            ("application/problem+json", json(&problem))
        }
    }
}

/// The request id as a URI reference.
fn instance(request_id: &str) -> String {
    let scheme = if is_uuid(request_id) { "urn:uuid" } else { "urn:request" };
    format!("{scheme}:{request_id}")
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn json(value: &impl Serialize) -> Bytes {
    // Strings, numbers and lists of them cannot fail to serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}
