//! How many bytes a request body may have.

mod body;
mod count;
mod counted;
mod future;
mod layer;
mod service;
mod watched;

pub use body::LimitedBody;
pub use future::BodyLimitFuture;
pub use layer::BodyLimit;
pub use service::BodyLimitService;

/// What this layer is called on a trail.
const NAME: &str = "BodyLimit";
