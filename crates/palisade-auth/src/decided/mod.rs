//! Which routes say who may come in, and what becomes of a request to one that does not.

mod deny_undecided;
mod mark;
mod policies;

pub use deny_undecided::{DenyUndecided, DenyUndecidedFuture, DenyUndecidedService};
pub(crate) use mark::mark;
pub use policies::{Decided, Public, RequireDecision, public, require_decision};
