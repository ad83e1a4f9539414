//! Observes requests: an id in the response, in errors and in the log; trace context; one access log event for each request;
//! metrics; and explanations of rejections.
//!
//! ```
//! use http::{Request, Response};
//! use palisade_core::{ApiError, Decision, Policy, PolicyLayer};
//! use palisade_observe::{Observe, Recorder};
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
//! let recorder = Recorder::new();
//! let layer = PolicyLayer::new(Observe::new().recorder(&recorder).then(Closed));
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
//! let seen = &recorder.json()["requests"][0];
//! assert_eq!((&seen["request_id"], &seen["status"]), (&"req-42".into(), &403.into()));
//! assert_eq!((&seen["policies"][0]["policy"], &seen["policies"][0]["outcome"]), (&"Closed".into(), &"refused".into()));
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
mod recorder;
mod request_ids;
mod span;
mod trace_context;
mod tracestate;

pub use access_log::AccessLog;
pub use explain::Explain;
#[cfg(feature = "metrics")]
pub use metrics::{METRICS, Readings};
pub use observe::{Observation, Observe};
pub use recorder::{Recorder, RecorderService};
pub use request_ids::RequestIds;
pub use span::{RequestSpan, RequestSpanFuture, RequestSpanService};
pub use trace_context::{HexId, TraceContext};

palisade_core::impl_layer!(Observe, RequestIds);
