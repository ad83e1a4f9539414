//! Limits the duration of requests.

mod body;
mod clocks;
mod future;
mod layer;

pub use body::TimedBody;
pub(crate) use clocks::Clocks;
pub use future::DeadlineFuture;
pub use layer::{Deadline, DeadlineService};

/// The name of this layer on trails.
const NAME: &str = "Deadline";
