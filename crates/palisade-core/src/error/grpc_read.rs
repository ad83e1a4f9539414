//! Reads an error from a `google.rpc.Status` of another service.
//!
//! Details that are not fully understood are kept unchanged, so that they can be passed on without loss.

use std::time::Duration;

use bytes::Bytes;

use super::{
    ApiError, GrpcDetail, Issue, QuotaViolation,
    grpc_details::{Message, bad_request, error_info, quota_failure, retry_info},
};

/// More details than this are not read: they come from another service.
const MAX_DETAILS: usize = 64;

/// Adds the details of an encoded status to `error`.
pub(crate) fn add_details(mut error: ApiError, status: &[u8]) -> ApiError {
    for detail in details(status).into_iter().take(MAX_DETAILS) {
        // Stack traces are for developers, and there is a log for them.
        if detail.is("DebugInfo") {
            continue;
        }
        let understood = understand(&mut error, &detail);
        if understood.as_ref().map(|message| &*message.0) != Some(&*detail.value) {
            error = error.with_grpc_detail(detail);
        }
    }
    error
}

/// Adds a known detail to the error. Returns the message that would be encoded for it.
fn understand(error: &mut ApiError, detail: &GrpcDetail) -> Option<Message> {
    let value = &*detail.value;
    let taken = std::mem::replace(error, ApiError::internal());
    let (after, message) = if detail.is("ErrorInfo") {
        let ErrorInfo { code, field, truncated } = ErrorInfo::read(value);
        let info = |code: &String| error_info(code, field.as_deref(), "", !truncated);
        let message = code.as_ref().map(info);
        let mut after = match code {
            Some(code) => taken.with_code(code),
            None => taken,
        };
        if truncated {
            after = after.with_truncated_issues();
        }
        (if let Some(field) = field { after.with_field(field) } else { after }, message)
    } else if detail.is("RetryInfo") {
        match read_retry_info(value) {
            Some(wait) => (taken.with_retry_after(wait), Some(retry_info(wait))),
            None => (taken, None),
        }
    } else if detail.is("QuotaFailure") {
        let quotas: Vec<_> = messages(value, 1).filter_map(read_violation).collect();
        let message = quota_failure(&quotas);
        (quotas.into_iter().fold(taken, ApiError::with_quota_violation), Some(message))
    } else if detail.is("BadRequest") {
        let issues: Vec<_> = messages(value, 1).map(read_issue).collect();
        let (message, _) = bad_request(&issues, usize::MAX);
        (taken.with_issues(issues), Some(message))
    } else {
        (taken, None)
    };
    *error = after;
    message
}

struct ErrorInfo {
    code: Option<String>,
    field: Option<String>,
    truncated: bool,
}

impl ErrorInfo {
    fn read(info: &[u8]) -> Self {
        let metadata = |key: &str| {
            let entry = messages(info, 3).find(|entry| text(entry, 1).as_deref() == Some(key));
            entry.and_then(|entry| text(entry, 2))
        };
        Self {
            code: text(info, 1).filter(|code| !code.is_empty()),
            field: metadata("field"),
            truncated: metadata("truncated").as_deref() == Some("true"),
        }
    }
}

fn read_retry_info(info: &[u8]) -> Option<Duration> {
    let delay = messages(info, 1).next()?;
    let seconds = number(delay, 1).unwrap_or(0);
    let nanos = u32::try_from(number(delay, 2).unwrap_or(0)).ok()?;
    // Negative numbers, and more than protobuf allows, are no advice.
    (seconds <= 315_576_000_000 && nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

fn read_violation(violation: &[u8]) -> Option<QuotaViolation> {
    let id = text(violation, 5).filter(|id| !id.is_empty()).or_else(|| text(violation, 1))?;
    Some(QuotaViolation::new(id, number(violation, 7).unwrap_or(0)))
}

fn read_issue(violation: &[u8]) -> Issue {
    let code = text(violation, 3).filter(|reason| !reason.is_empty());
    Issue::new(
        text(violation, 1).unwrap_or_default(),
        code.map_or_else(|| "invalid".to_owned(), |reason| reason.to_ascii_lowercase()),
        text(violation, 2).unwrap_or_default(),
    )
}

fn details(status: &[u8]) -> Vec<GrpcDetail> {
    let detail = |any| {
        let value = messages(any, 2).next().unwrap_or_default();
        Some(GrpcDetail::new(text(any, 1)?, Bytes::copy_from_slice(value)))
    };
    messages(status, 3).filter_map(detail).collect()
}

/// A field of a message.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Fixed-width numbers, of which none of these messages has any.
    Other,
}

/// The fields of a message, up to the first that is broken.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

fn messages(message: &[u8], field: u64) -> impl Iterator<Item = &[u8]> {
    Fields(message).filter_map(move |(number, value)| match value {
        Value::Bytes(bytes) if number == field => Some(bytes),
        _ => None,
    })
}

fn text(message: &[u8], field: u64) -> Option<String> {
    let bytes = messages(message, field).last()?;
    String::from_utf8(bytes.to_vec()).ok()
}

fn number(message: &[u8], field: u64) -> Option<u64> {
    let of_field = |(number, value)| match value {
        Value::Number(value) if number == field => Some(value),
        _ => None,
    };
    Fields(message).filter_map(of_field).last()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::grpc_details::encode;

    #[test]
    fn details_round_trip() {
        let error = ApiError::validation([Issue::new("a.b", "too_small", "no")])
            .with_code("OUT_OF_STOCK")
            .with_quota_violation(QuotaViolation::new("daily", 7))
            .with_retry_after(Duration::from_millis(1500));
        let read = add_details(ApiError::bad_request(), &encode(&error, "", None));
        assert_eq!((read.code(), read.field()), ("OUT_OF_STOCK", Some("a.b")));
        assert_eq!(read.issues(), error.issues());
        assert_eq!(read.quota_violations(), error.quota_violations());
        assert_eq!(read.retry_after(), error.retry_after());
        assert_eq!(read.grpc_details(), []);
    }

    #[test]
    fn foreign_details_are_preserved() {
        let error = ApiError::not_found();
        let foreign = GrpcDetail::new("type.googleapis.com/google.rpc.Help", vec![0x0a, 0x00]);
        let theirs = encode(&error.with_grpc_detail(foreign.clone()), "their.Service", Some("id"));
        let read = add_details(ApiError::not_found(), &theirs);
        let names: Vec<_> =
            read.grpc_details().iter().filter_map(|it| it.type_url.rsplit('.').next()).collect();
        assert_eq!(names, ["ErrorInfo", "RequestInfo", "Help"], "their domain, and their name");
        // With another domain the original one is gone, and no detail is duplicated.
        let mut ours = details(&encode(&read, "our.Service", Some("ours")));
        ours.sort_by(|a, b| a.type_url.cmp(&b.type_url));
        assert_eq!(ours.len(), 3);
        assert_eq!(text(&ours[0].value, 2).unwrap(), "their.Service");
        assert_eq!(ours[1], foreign);
        assert_eq!(text(&ours[2].value, 1).unwrap(), "ours");
    }

    #[test]
    fn debug_info_of_another_service_is_dropped() {
        let debug = GrpcDetail::new("type.googleapis.com/google.rpc.DebugInfo", vec![0x0a, 0x00]);
        let theirs = encode(&ApiError::internal().with_grpc_detail(debug), "", None);
        assert_eq!(add_details(ApiError::internal(), &theirs).grpc_details(), []);
    }

    proptest! {
        #[test]
        fn arbitrary_details_never_panic(bytes: Vec<u8>) {
            let _ = add_details(ApiError::internal(), &bytes);
            for name in ["ErrorInfo", "RetryInfo", "QuotaFailure", "BadRequest"] {
                let detail = GrpcDetail::new(format!("type.googleapis.com/google.rpc.{name}"), bytes.clone());
                let _ = understand(&mut ApiError::internal(), &detail);
            }
        }
    }
}
