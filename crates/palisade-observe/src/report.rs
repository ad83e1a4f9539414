use std::time::Duration;

use http::StatusCode;
use palisade_core::{ClientIp, RequestId, Step};

use crate::{
    AccessLog, HexId,
    escape::Escaped,
    summary::{RequestEnd, Summary},
};

/// What happened to one request. Passed to [`Observe::report_to`](crate::Observe::report_to).
///
/// It contains what the [`AccessLog`] would log, with the same settings: no headers, no bodies, and only listed query
/// parameters. Texts of clients are escaped and at most 1,024 characters long.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use http::{Request, Response};
/// use palisade_observe::{Observe, RequestEnd};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ends = Arc::new(Mutex::new(Vec::new()));
/// let seen = Arc::clone(&ends);
/// let observe = Observe::new().report_to(move |report| seen.lock().unwrap().push(report.end));
/// let service = observe.layer().layer(service_fn(|_: Request<String>| async {
///     Ok::<_, std::convert::Infallible>(Response::new("never sent".to_owned()))
/// }));
/// drop(service.oneshot(Request::new(String::new())).await);
/// assert_eq!(*ends.lock().unwrap(), [RequestEnd::Aborted]);
/// # });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestReport {
    /// When the request ended, since the Unix epoch.
    pub ended_at: Duration,
    /// The id of the request.
    pub request_id: RequestId,
    /// The id of the trace.
    pub trace_id: HexId<16>,
    /// The method.
    pub method: String,
    /// The path, with the listed query parameters. `None` if the access log [hides it](AccessLog::without_path).
    pub path: Option<String>,
    /// The template of the route, if the framework provides it; for gRPC the method.
    pub route: Option<Box<str>>,
    /// The status of the response, if there was one.
    pub status: Option<StatusCode>,
    /// The `grpc-status` of the response or its trailers.
    pub grpc_status: Option<String>,
    /// The machine code of the response's error.
    pub code: Option<String>,
    /// How the request ended.
    pub end: RequestEnd,
    /// The time until the end of the response.
    pub duration: Duration,
    /// The time until the head of the response.
    pub first_byte: Option<Duration>,
    /// The bytes of the request body: declared, or read.
    pub bytes_in: u64,
    /// The bytes of the response body that were sent.
    pub bytes_out: u64,
    /// The address of the client.
    pub client: Option<ClientIp>,
    /// The caller; its hash, if the access log [hashes principals](AccessLog::hash_principals).
    pub principal: Option<String>,
    /// The decisions of the policies, in order.
    pub steps: Vec<Step>,
}

impl RequestReport {
    pub(crate) fn new(summary: &Summary<'_>, log: Option<&AccessLog>, unix: Duration) -> Self {
        let usual = AccessLog::new();
        let log = log.unwrap_or(&usual);
        let escaped = |text: &str| Escaped(text).to_string();
        Self {
            ended_at: unix,
            request_id: summary.id.clone(),
            trace_id: summary.trace.trace_id(),
            method: escaped(summary.method.as_str()),
            path: log.path(summary.uri).map(|path| path.to_string()),
            route: summary.route.clone(),
            status: summary.status,
            grpc_status: summary.grpc_status.map(escaped),
            code: summary.code.map(escaped),
            end: summary.end,
            duration: summary.duration,
            first_byte: summary.first_byte,
            bytes_in: summary.bytes_in,
            bytes_out: summary.bytes_out,
            client: summary.client,
            principal: summary.principal.as_ref().map(|principal| log.principal(principal)),
            steps: summary.steps.clone(),
        }
    }
}
