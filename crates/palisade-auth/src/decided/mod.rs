//! Detects routes without an authorization policy.

mod deny_undecided;
mod mark;
mod policies;

pub use deny_undecided::{DenyUndecided, DenyUndecidedFuture, DenyUndecidedService};
#[cfg(feature = "testing")]
pub use mark::DecisionProbe;
pub(crate) use mark::mark;
pub use policies::{Decided, Public, RequireDecision, public, require_decision};
