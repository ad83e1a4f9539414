//! How long a request and its answer may take.

mod answer;
mod body;
mod future;
mod layer;

pub use answer::TimedAnswer;
pub use body::TimedBody;
pub use future::DeadlineFuture;
pub use layer::{Deadline, DeadlineService};

/// What this layer is called on a trail.
const NAME: &str = "Deadline";
