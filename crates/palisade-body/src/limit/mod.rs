//! Limits the size of request bodies.

mod body;
mod count;
mod counted;
mod future;
mod layer;
mod rules;
mod service;
mod watched;

pub use body::LimitedBody;
pub use future::BodyLimitFuture;
pub use layer::BodyLimit;
pub use service::BodyLimitService;

/// The name of this layer on trails.
const NAME: &str = "BodyLimit";
