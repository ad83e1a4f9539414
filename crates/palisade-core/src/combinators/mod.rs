//! Policies made of policies.
//!
//! Every answer is three-valued: granted, refused, or *could not tell* (any 5xx). Nothing here turns *could not tell*
//! into a grant.

mod any_of;
mod chain_policy;
mod shadow;
mod when;

pub use any_of::{AnyOf, Either, any_of};
pub use chain_policy::{ChainGrant, ChainPolicy, IntoPolicy, on_admission};
pub use shadow::{OnTrial, Outcome, Shadow, shadow};
pub use when::{When, unless, when};
