//! Keys that an issuer publishes, fetched over the network (RFC 7517, section 5).
//!
//! [`Jwks`] is the public handle, [`RemoteKeys`] the engine below it. Requests read a [`Snapshot`]; `schedule` decides when the
//! issuer may be asked; `source` contains the address.

mod builder;
mod client;
mod error;
mod key_set;
mod remote;
mod schedule;
mod settings;
mod shared;
mod snapshot;
mod source;
mod status;
#[cfg(test)]
mod tests;

pub use builder::JwksBuilder;
pub use client::{Jwks, StartUp};
pub use error::JwksError;
pub(crate) use key_set::KeySet as RemoteKeySet;
pub(crate) use remote::{Lookup, RemoteKeys};
pub(crate) use snapshot::Snapshot;
pub use status::JwksStatus;
