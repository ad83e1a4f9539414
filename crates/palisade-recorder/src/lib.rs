//! The last requests of a service as a page for development: what each policy decided, and how long it took.
//!
//! [`Recorder`] stores the reports of [`Observe`](palisade_observe::Observe) and serves them as HTML and as JSON.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod json;
mod page;
mod recorder;
mod service;

pub use recorder::Recorder;
pub use service::RecorderService;
