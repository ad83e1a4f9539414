//! Observes requests: an id in the response, in errors and in the log; trace context; one access log event for each request;
//! metrics; and explanations of rejections.
//!
//! ```
//! use std::sync::mpsc;
//!
//! use http::{Request, Response};
//! use palisade_core::{ApiError, Decision, Policy, PolicyLayer};
//! use palisade_observe::Observe;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! /// Rejects all requests.
//! struct Closed;
//!
//! impl Policy for Closed {
//!     type Grant = ();
//!     fn decide(&self, _: &http::request::Parts) -> Decision<()> { Decision::refuse(ApiError::forbidden()) }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let (reports, seen) = mpsc::channel();
//! let observe = Observe::new().report_to(move |report| drop(reports.send(report.clone())));
//! let layer = PolicyLayer::new(observe.then(Closed));
//! let service = layer.layer(service_fn(|_: Request<String>| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(String::new()))
//! }));
//!
//! // a well-formed id is kept, and the response carries it
//! let request = Request::get("/").header("x-request-id", "req-42").body(String::new())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.headers()["x-request-id"], "req-42");
//!
//! // once the response is over, there is an event in the log (target `palisade::access`), and here
//! drop(response);
//! let report = seen.recv()?;
//! assert_eq!((report.request_id.as_str(), report.status.unwrap().as_u16()), ("req-42", 403));
//! assert_eq!(report.steps[0].to_string(), "Closed=refused(FORBIDDEN)");
//! # Ok(()) })
//! # }
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `metrics` | counts and times through the `metrics` facade |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access_log;
mod escape;
mod explain;
mod methods;
#[cfg(feature = "metrics")]
mod metrics;
mod observe;
mod random;
mod record;
mod report;
mod request_ids;
mod settings;
mod span;
mod stamp;
mod summary;
mod trace_context;
mod tracestate;

pub use access_log::AccessLog;
pub use explain::Explain;
#[cfg(feature = "metrics")]
pub use metrics::{METRICS, Readings};
pub use observe::{Observation, Observe};
pub use report::RequestReport;
pub use request_ids::RequestIds;
pub use span::{RequestSpan, RequestSpanFuture, RequestSpanService};
pub use summary::RequestEnd;
pub use trace_context::{HexId, TraceContext};

palisade_core::impl_layer!(Observe, RequestIds);
