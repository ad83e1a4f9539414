use std::time::Duration;

use palisade_observe::RequestReport;
use serde_json::{Value, json};

pub(crate) fn request(report: &RequestReport) -> Value {
    let policies: Vec<Value> = report
        .steps
        .iter()
        .map(|step| {
            json!({
                "policy": step.policy(),
                "outcome": step.outcome().name(),
                "code": step.outcome().code(),
                "shadow": step.is_shadow(),
                "after_us": micros(step.after()),
                "took_us": micros(step.took()),
            })
        })
        .collect();
    json!({
        "unix_ms": u64::try_from(report.ended_at.as_millis()).unwrap_or(u64::MAX),
        "request_id": report.request_id.as_str(),
        "trace_id": report.trace_id.to_string(),
        "method": report.method,
        "path": report.path,
        "route": report.route,
        "status": report.status.map(|status| status.as_u16()),
        "grpc_status": report.grpc_status,
        "code": report.code,
        "end": report.end.name(),
        "duration_us": micros(report.duration),
        "first_byte_us": report.first_byte.map(micros),
        "bytes_in": report.bytes_in,
        "bytes_out": report.bytes_out,
        "client": report.client.map(|client| client.to_string()),
        "principal": report.principal,
        "policies": policies,
    })
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
