//! How many bytes a request body may have.

mod body;
mod count;
mod future;
mod layer;
mod service;

pub use body::LimitedBody;
pub use future::BodyLimitFuture;
pub use layer::BodyLimit;
pub use service::BodyLimitService;
