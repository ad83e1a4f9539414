//! `grpc-status-details-bin`: a `google.rpc.Status`, written without a protobuf library.
//!
//! The messages are those of google/rpc/status.proto and google/rpc/error_details.proto: six, with strings, lists and a duration,
//! and they do not change. `prost` with its derive would add five crates to every build of core (`cargo tree`), also for services
//! without gRPC, and its decoder drops fields that it does not know, which a detail of another service must keep.

use std::{borrow::Cow, time::Duration};

use super::{
    ApiError, GrpcCode, GrpcDetail, Issue, QuotaViolation, grpc_detail::TYPES, grpc_message::short,
};

/// The most bytes of details. Clients refuse headers of 8 KiB, and base64 adds a third.
const MAX_DETAILS: usize = 4 * 1024;

/// The most bytes of a name that is repeated: the request chose those of services, and often those of fields.
const MAX_NAME: usize = 256;

/// The most bytes that a message of this size needs around it.
const FRAMING: usize = 4;

/// Encodes a `google.rpc.Status` with the details of an error: the reason (`ErrorInfo`), the retry delay (`RetryInfo`),
/// exceeded quotas (`QuotaFailure`), the request id (`RequestInfo`) and issues (`BadRequest`). Details that were added to the
/// error replace created ones of the same type.
pub(crate) fn encode(error: &ApiError, domain: &str, request_id: Option<&str>) -> Vec<u8> {
    let mut status = Message::default();
    status.number(1, failure_code(error) as u64);
    status.text(2, short(error.message()));

    // `RequestInfo` is always created here. A detail that is too long is replaced by a created one, which is truncated.
    let given = |detail: &&GrpcDetail| {
        let fits = detail.value.len() <= MAX_DETAILS / 2;
        fits && !(request_id.is_some() && detail.is("RequestInfo"))
    };
    let given: Vec<_> = error.grpc_details().iter().filter(given).collect();
    let is_given = |name: &str| given.iter().any(|detail| detail.is(name));
    let named = |name: &str, value: Message| {
        let mut detail = Message::default();
        if !value.0.is_empty() && !is_given(name) {
            detail.any(&format!("{TYPES}{name}"), &value.0);
        }
        detail.0
    };
    let info = |all| named("ErrorInfo", error_info(error.code(), error.field(), domain, all));
    // as long as it can be, until it is known whether there is room for all issues
    let mut length = status.0.len() + info(false).len();
    let mut rest = named("RetryInfo", error.retry_after().map(retry_info).unwrap_or_default());
    rest.extend(named("QuotaFailure", quota_failure(error.quota_violations())));
    rest.extend(named("RequestInfo", request_id.map(request_info).unwrap_or_default()));
    length += rest.len();
    for detail in &given {
        let more = detail.type_url.len() + detail.value.len() + 3 * FRAMING;
        if length + more <= MAX_DETAILS {
            let mut any = Message::default();
            any.any(&detail.type_url, &detail.value);
            length += any.0.len();
            rest.extend(any.0);
        }
    }
    let around = TYPES.len() + "BadRequest".len() + 3 * FRAMING;
    let room = MAX_DETAILS.saturating_sub(length + around);
    let (violations, all) = bad_request(error.issues(), room);
    status.0.extend(info(all && !error.issues_are_truncated()));
    status.0.extend(rest);
    status.0.extend(named("BadRequest", violations));
    status.0
}

/// A failure that called itself OK would be a success to the client.
pub(super) fn failure_code(error: &ApiError) -> GrpcCode {
    match error.grpc_code() {
        GrpcCode::Ok => GrpcCode::Unknown,
        code => code,
    }
}

/// Creates an `ErrorInfo`: the code, the service, the field, and whether the list of issues is complete.
pub(super) fn error_info(code: &str, field: Option<&str>, domain: &str, all: bool) -> Message {
    let mut info = Message::default();
    info.text(1, &reason(code));
    if domain.len() <= MAX_NAME {
        info.text(2, domain);
    }
    let field = field.filter(|field| field.len() <= MAX_NAME).map(|field| ("field", field));
    for (key, value) in field.into_iter().chain((!all).then_some(("truncated", "true"))) {
        let mut entry = Message::default();
        entry.text(1, key);
        entry.text(2, value);
        info.message(3, &entry);
    }
    info
}

pub(super) fn retry_info(wait: Duration) -> Message {
    let millis = pushback_millis(wait);
    let mut duration = Message::default();
    duration.number(1, millis / 1000);
    duration.number(2, millis % 1000 * 1_000_000);
    let mut retry = Message::default();
    retry.message(1, &duration);
    retry
}

pub(super) fn quota_failure(quotas: &[QuotaViolation]) -> Message {
    let mut failure = Message::default();
    for quota in quotas {
        let mut violation = Message::default();
        // The subject is the quota instead of the client, which must not appear in logs.
        violation.text(1, &quota.name);
        violation.text(2, "the quota is used up");
        violation.text(5, &quota.name);
        violation.number(7, quota.limit);
        if failure.0.len() + violation.0.len() > MAX_DETAILS / 2 {
            break;
        }
        failure.message(1, &violation);
    }
    failure
}

fn request_info(id: &str) -> Message {
    let mut request = Message::default();
    request.text(1, id);
    request
}

/// Creates a `BadRequest` with as many issues as fit. Returns whether it contains all. An issue that is too long is skipped.
pub(super) fn bad_request(issues: &[Issue], room: usize) -> (Message, bool) {
    let mut violations = Message::default();
    let mut all = true;
    for issue in issues {
        let mut violation = Message::default();
        violation.text(1, &issue.path);
        violation.text(2, &issue.message);
        violation.text(3, &reason(&issue.code));
        if violations.0.len() + violation.0.len() + FRAMING <= room {
            violations.message(1, &violation);
        } else {
            all = false;
        }
    }
    (violations, all)
}

/// A code as gRPC wants a reason: at most 63 characters `[A-Z][A-Z0-9_]+[A-Z0-9]` (google/rpc/error_details.proto).
fn reason(code: &str) -> Cow<'_, str> {
    let fits = |code: &str| {
        let upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let starts = code.starts_with(|first: char| first.is_ascii_uppercase());
        (3..=63).contains(&code.len()) && code.bytes().all(upper) && starts && !code.ends_with('_')
    };
    if fits(code) {
        return Cow::Borrowed(code);
    }
    let upper =
        |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' };
    let code: String = code.chars().map(upper).take(63).collect();
    let code = code.trim_matches('_');
    let numbered = code.starts_with(|first: char| first.is_ascii_digit());
    Cow::Owned(match code.len() {
        0 => "UNKNOWN".to_owned(),
        1 | 2 => format!("E_{code}"),
        _ if numbered => format!("E_{}", code[..code.len().min(61)].trim_end_matches('_')),
        _ => code.to_owned(),
    })
}

/// Protobuf's `Duration` ends after about 10,000 years, in seconds.
const LONGEST_DURATION: u64 = 315_576_000_000;

/// Returns the retry delay in whole milliseconds, rounded up and at least 1.
pub(super) fn pushback_millis(wait: Duration) -> u64 {
    let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    millis.clamp(1, LONGEST_DURATION * 1000)
}

/// Writes a protobuf message field by field.
#[derive(Default)]
pub(super) struct Message(pub(super) Vec<u8>);

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
    fn any(&mut self, type_url: &str, value: &[u8]) {
        let mut any = Self::default();
        any.text(1, type_url);
        any.bytes(2, value);
        self.message(3, &any);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_converted_to_a_valid_reason() {
        for (code, is) in [
            ("OUT_OF_STOCK", "OUT_OF_STOCK"),
            ("too_small", "TOO_SMALL"),
            ("order-not found!", "ORDER_NOT_FOUND"),
            ("404", "E_404"),
            ("_PRIVATE_", "PRIVATE"),
            ("X", "E_X"),
            ("7", "E_7"),
            ("NO", "E_NO"),
            ("A_B", "A_B"),
            ("gibt's nicht", "GIBT_S_NICHT"),
            ("\u{fc}", "UNKNOWN"),
            ("", "UNKNOWN"),
        ] {
            assert_eq!(reason(code), is);
        }
        assert_eq!(reason(&"4".repeat(100)), format!("E_{}", "4".repeat(61)));
        assert_eq!(reason(&"x".repeat(100)), "X".repeat(63));
    }

    #[test]
    fn details_are_truncated_to_fit_into_a_header() {
        let long = "x".repeat(600);
        let issues = (0..100).map(|at| Issue::new(format!("{long}[{at}]"), "bad", "no"));
        let quotas = (0..100).map(|at| QuotaViolation::new(format!("{long}{at}"), 1));
        let error = quotas.fold(ApiError::validation(issues), ApiError::with_quota_violation);
        let error = (0..10).fold(error, |error, at| {
            error.with_grpc_detail(GrpcDetail::new(format!("example.com/X{at}"), long.clone()))
        });
        let bytes = encode(&error, "a.B", Some("id")).len();
        assert!((2_000..=MAX_DETAILS).contains(&bytes), "{bytes}");

        let longer = "x".repeat(100_000);
        let error = ApiError::validation([
            Issue::new(longer.clone(), "too_long", "no"),
            Issue::new("email", "invalid_email", "must be an email address"),
        ]);
        let error = error.with_message(longer.clone()).with_field(longer.clone());
        let bytes = encode(&error, &longer, Some("id"));
        assert!(bytes.len() <= MAX_DETAILS, "{}", bytes.len());
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("must be an email address"), "what is short is still there");
    }

    #[test]
    fn truncated_issue_list_is_marked() {
        let issues = |count: usize, length: usize| {
            let path = "x".repeat(length);
            ApiError::validation((0..count).map(|_| Issue::new(path.clone(), "too_long", "no")))
        };
        let says = |error: &ApiError| {
            let bytes = encode(error, "a.B", Some("id"));
            assert!(bytes.len() <= MAX_DETAILS);
            String::from_utf8_lossy(&bytes).contains("truncated")
        };
        assert!(!says(&issues(2, 10)));
        assert!(says(&issues(2, 10).with_truncated_issues()), "by whoever found them");
        assert!(says(&issues(60, 100)), "here, for want of room");
    }

    #[test]
    fn retry_delay_is_capped_at_the_protobuf_maximum() {
        let year_10_000 = retry_info(Duration::from_secs(LONGEST_DURATION));
        assert_eq!(retry_info(Duration::MAX).0, year_10_000.0);
    }
}
