//! `grpc-status-details-bin`: a `google.rpc.Status`, written without a protobuf library.
//!
//! The messages are those of google/rpc/status.proto and google/rpc/error_details.proto. They are few, small and
//! settled, and core would otherwise depend on tonic for them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http::HeaderValue;

use super::{ApiError, ErrorContext, context::failure_code};

/// The most bytes of details. Clients refuse headers of 8 KiB, and base64 adds a third.
const MAX_DETAILS: usize = 4 * 1024;

/// The details of an error: why (`ErrorInfo`), what is wrong with the input (`BadRequest`), which quotas it went over
/// (`QuotaFailure`), when to come back (`RetryInfo`), and the request's name (`RequestInfo`).
pub(super) fn encode(error: &ApiError, context: &ErrorContext) -> HeaderValue {
    let mut status = Message::default();
    status.number(1, failure_code(error) as u64);
    status.text(2, error.message());

    let mut info = Message::default();
    info.text(1, error.code());
    info.text(2, context.grpc_service().unwrap_or_default());
    status.detail("ErrorInfo", &info);

    if let Some(wait) = error.retry_after() {
        let millis = pushback_millis(wait);
        let mut duration = Message::default();
        duration.number(1, millis / 1000);
        duration.number(2, millis % 1000 * 1_000_000);
        let mut retry = Message::default();
        retry.message(1, &duration);
        status.detail("RetryInfo", &retry);
    }
    let mut failure = Message::default();
    for quota in error.quota_violations() {
        let mut violation = Message::default();
        // Who was counted is not for everybody's logs: the subject is the quota.
        violation.text(1, &quota.name);
        violation.text(2, "the quota is used up");
        violation.text(5, &quota.name);
        violation.number(7, quota.limit);
        failure.message(1, &violation);
    }
    if !failure.0.is_empty() {
        status.detail("QuotaFailure", &failure);
    }
    if let Some(id) = context.request_id() {
        let mut request = Message::default();
        request.text(1, id.as_str());
        status.detail("RequestInfo", &request);
    }
    let mut violations = Message::default();
    for issue in error.issues() {
        let mut violation = Message::default();
        violation.text(1, &issue.path);
        violation.text(2, &issue.message);
        violation.text(3, &issue.code.to_ascii_uppercase());
        if status.0.len() + violations.0.len() + violation.0.len() > MAX_DETAILS {
            break;
        }
        violations.message(1, &violation);
    }
    if !violations.0.is_empty() {
        status.detail("BadRequest", &violations);
    }
    // base64 is always a header value.
    HeaderValue::try_from(STANDARD_NO_PAD.encode(status.0)).unwrap_or(HeaderValue::from_static(""))
}

/// How long a client waits before it tries again: whole milliseconds, never too few, never none.
pub(super) fn pushback_millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
}

/// A protobuf message in the making: fields in the order in which they are written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// Text that is empty is text that is not there.
    fn text(&mut self, field: u64, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    fn message(&mut self, field: u64, value: &Self) {
        self.bytes(field, &value.0);
    }

    /// An `Any` in `Status.details`.
    fn detail(&mut self, name: &str, value: &Self) {
        let mut any = Self::default();
        any.text(1, &format!("type.googleapis.com/google.rpc.{name}"));
        any.message(2, value);
        self.message(3, &any);
    }
}
