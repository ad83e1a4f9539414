//! Fetching from an issuer: the client, the addresses that are accepted, and a fetch that requests wait for together.

mod address;
mod backoff;
#[cfg(feature = "jwks-http")]
mod cache_control;
mod client;
#[cfg(feature = "jwks-http")]
mod connector;
#[cfg(feature = "jwks-http")]
mod http_builder;
#[cfg(feature = "jwks-http")]
mod http_fetch;
mod in_progress;

#[cfg(feature = "jwks-http")]
pub(crate) use address::is_allowed;
pub(crate) use address::parse_address;
pub(crate) use backoff::backoff;
pub(crate) use client::MAX_DOCUMENT;
pub use client::{Fetch, Fetched};
#[cfg(feature = "jwks-http")]
pub use http_builder::HttpFetchBuilder;
#[cfg(feature = "jwks-http")]
pub use http_fetch::HttpFetch;
pub(crate) use in_progress::FetchInProgress;
