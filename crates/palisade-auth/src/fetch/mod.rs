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
pub(crate) use backoff::BackOff;
#[cfg(feature = "introspection")]
pub(crate) use backoff::pause;
#[cfg(feature = "jwks")]
pub(crate) use client::MAX_DOCUMENT;
pub use client::{Fetch, Fetched, UnexpectedStatus};
#[cfg(feature = "jwks-http")]
pub use http_builder::HttpFetchBuilder;
#[cfg(feature = "jwks-http")]
pub use http_fetch::HttpFetch;
pub(crate) use in_progress::FetchInProgress;

use std::{error::Error, sync::Arc};

use palisade_core::ConfigError;

/// Returns the client for policies that were given none.
#[cfg(feature = "jwks-http")]
pub(crate) fn default_client(loopback_http: bool) -> Result<Arc<dyn Fetch>, ConfigError> {
    let client = HttpFetch::new()?;
    Ok(Arc::new(if loopback_http { client.insecure_allow_loopback_http() } else { client }))
}

#[cfg(not(feature = "jwks-http"))]
pub(crate) fn default_client(_: bool) -> Result<Arc<dyn Fetch>, ConfigError> {
    Err(ConfigError::without_value(
        "fetch",
        "set an HTTP client with `.fetch(…)`, or enable the feature `jwks-http`",
    ))
}

/// Returns an error and its causes in one line, the outermost first: HTTP clients put the specific one last.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line = format!("{line}: {inner}");
        cause = inner.source();
    }
    line
}
