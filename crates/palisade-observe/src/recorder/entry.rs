use std::time::Duration;

use palisade_core::{RequestId, Step};
use serde_json::{Value, json};

use crate::{
    AccessLog,
    access_log::micros,
    escape::Escaped,
    record::{End, Summary},
};

/// One request. Each of its texts has a limit already: it was escaped, or is ours.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) unix: Duration,
    pub(super) id: RequestId,
    pub(super) trace: String,
    pub(super) method: String,
    pub(super) path: Option<String>,
    pub(super) route: Option<Box<str>>,
    pub(super) status: Option<u16>,
    pub(super) grpc_status: Option<String>,
    pub(super) code: Option<String>,
    pub(super) end: End,
    pub(super) duration: Duration,
    pub(super) first_byte: Option<Duration>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) client: Option<String>,
    pub(super) principal: Option<String>,
    pub(super) steps: Vec<Step>,
}

impl Entry {
    pub(super) fn new(summary: &Summary<'_>, log: Option<&AccessLog>, unix: Duration) -> Self {
        let usual = AccessLog::new();
        let log = log.unwrap_or(&usual);
        let escaped = |text: &str| Escaped(text).to_string();
        Self {
            unix,
            id: summary.id.clone(),
            trace: summary.trace.trace_id().to_string(),
            method: escaped(summary.method.as_str()),
            path: log.path(summary.uri).map(|path| path.to_string()),
            route: summary.route.clone(),
            status: summary.status.map(|status| status.as_u16()),
            grpc_status: summary.grpc_status.map(escaped),
            code: summary.code.map(escaped),
            end: summary.end,
            duration: summary.duration,
            first_byte: summary.first_byte,
            bytes_in: summary.bytes_in,
            bytes_out: summary.bytes_out,
            client: summary.client.map(|client| client.to_string()),
            principal: summary.principal.as_ref().map(|principal| log.principal(principal)),
            steps: summary.steps.clone(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let policies: Vec<Value> = self
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
            "unix_ms": u64::try_from(self.unix.as_millis()).unwrap_or(u64::MAX),
            "request_id": self.id.as_str(),
            "trace_id": self.trace,
            "method": self.method,
            "path": self.path,
            "route": self.route,
            "status": self.status,
            "grpc_status": self.grpc_status,
            "code": self.code,
            "end": self.end.name(),
            "duration_us": micros(self.duration),
            "first_byte_us": self.first_byte.map(micros),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "client": self.client,
            "principal": self.principal,
            "policies": policies,
        })
    }
}
