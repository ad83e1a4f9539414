//! Combinators of policies.
//!
//! Every decision is allowed, rejected or failed (any 5xx). No combinator turns a failure into an admission.

mod any_of;
mod chain_policy;
mod shadow;
mod when;

pub use any_of::{AnyOf, Either, any_of};
pub use chain_policy::{ChainGrant, ChainPolicy, IntoPolicy, on_admission};
pub use shadow::{OnTrial, Shadow, shadow};
pub use when::{When, unless, when};
