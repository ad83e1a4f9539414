//! How long a request and its answer may take.

mod body;
mod clocks;
mod future;
mod layer;

pub use body::TimedBody;
pub(crate) use clocks::Clocks;
pub use future::DeadlineFuture;
pub use layer::{Deadline, DeadlineService};

/// What this layer is called on a trail.
const NAME: &str = "Deadline";
