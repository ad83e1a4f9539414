//! Contract tests for policies and layers, including your own.
//!
//! ```
//! use http::{Request, request};
//! use palisade_core::{Decision, Policy, testing::{Contract, Script}};
//!
//! struct Everybody;
//!
//! impl Policy for Everybody {
//!     type Grant = ();
//!     fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) }
//! }
//!
//! // a request that the policy lets pass
//! Contract::new(|| Request::get("/").body(Script::empty()).unwrap()).check_policy(|| Everybody);
//! ```

mod contract;
mod deferred;
mod log;
mod probe;

pub use contract::Contract;
pub use deferred::{Deferred, Delay};
pub use log::Log;
pub use probe::{Probe, ProbeError, Script, Step};
