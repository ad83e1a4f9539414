//! Contract tests for policies and layers, including your own.
//!
//! ```
//! use http::{Request, request};
//! use palisade_core::{Decision, Policy, testing::{Contract, Script}};
//!
//! struct AllowAll;
//!
//! impl Policy for AllowAll {
//!     type Grant = ();
//!     fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) }
//! }
//!
//! // A request that the policy allows
//! Contract::new(|| Request::get("/").body(Script::empty()).unwrap()).check_policy(|| AllowAll);
//! ```

mod contract;
mod deferred;
mod log;
mod probe;

pub use contract::Contract;
pub use deferred::{Deferred, Delay};
pub use log::Log;
pub use probe::{Probe, ProbeError, Script, Step};
