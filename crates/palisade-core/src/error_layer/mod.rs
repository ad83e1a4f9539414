//! Turns the failures of a service and the rejections of policies into responses of one format.

mod accept;
mod config;
mod exchange;
mod framework;
mod layer;
mod policies;
mod reading;
mod service;

pub use framework::FrameworkReason;
#[cfg(feature = "axum")]
pub(crate) use framework::short;
pub use layer::ErrorLayer;
pub use policies::{ErrorPolicyFuture, ErrorPolicyLayer, ErrorPolicyService};
pub use service::{ErrorFuture, ErrorService};
