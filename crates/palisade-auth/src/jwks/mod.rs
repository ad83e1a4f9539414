//! Keys that an issuer publishes, fetched over the network (RFC 7517, section 5).
//!
//! From the outside in: [`Jwks`] is what users hold; [`RemoteKeys`] is the engine below, which answers requests from a
//! snapshot and never makes one wait for another; `flight` is one fetch that all who need it share; `schedule` says when
//! the next may depart; `source` knows where to go, and [`Fetch`] how.

mod absent;
mod backoff;
mod builder;
#[cfg(feature = "jwks-http")]
mod cache_control;
mod client;
mod error;
mod fetch;
mod flight;
#[cfg(feature = "jwks-http")]
mod http_fetch;
mod remote;
mod schedule;
mod source;
#[cfg(test)]
mod tests;

pub use builder::JwksBuilder;
pub use client::{Jwks, JwksStatus, StartUp};
pub use error::JwksError;
pub use fetch::{Fetch, Fetched};
#[cfg(feature = "jwks-http")]
pub use http_fetch::HttpFetch;
pub(crate) use remote::{KeySet as RemoteKeySet, Lookup, RemoteKeys};
