//! The layer.

mod answer;
mod body;
mod builder;
mod draft;
mod exchange;
mod fetch;
mod service;
mod settings;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;
use palisade_core::{ErrorCode, GrpcCode, Layer};

pub(crate) use answer::OF_THE_CONTENT;
pub(crate) use body::collected;
pub use builder::{CacheBuilder, Forever};
pub use service::{CacheFuture, CacheService};

use crate::{Purge, rules::Mode};
use settings::Settings;

/// The code for a client that accepts stored responses only: 504.
pub(crate) const NOT_CACHED: ErrorCode = ErrorCode::new(
    "NOT_CACHED",
    StatusCode::GATEWAY_TIMEOUT,
    GrpcCode::Unavailable,
    "no response is stored for this request",
)
.about(
    "The request has `Cache-Control: only-if-cached`, and the cache has nothing to answer it with.",
);

/// Stores responses, and answers requests from them: an HTTP cache
/// ([RFC 9111](https://www.rfc-editor.org/rfc/rfc9111)) in front of a service, a router or a route. Clones are the same cache.
///
/// | constructor | a response is fresh |
/// | --- | --- |
/// | [`Cache::honour`] | for as long as its `CDN-Cache-Control`, `Cache-Control` or `Expires` says |
/// | [`Cache::revalidate`] | for a time that you choose; then it is served once more while it is renewed in the background |
/// | [`Cache::forever`]`().until_purged()` | until you [purge](Purge) it |
///
/// In each mode the word of the service is stronger: a response with `no-store` is never stored, and one with `max-age` is fresh
/// for that long.
///
/// ```
/// use std::time::Duration;
/// use http::{Request, Response};
/// use palisade_cache::Cache;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let cache = Cache::revalidate(Duration::from_secs(60)).build()?;
/// let service = cache.layer(service_fn(async |_: Request<_>| {
///     Ok::<_, std::convert::Infallible>(Response::new("expensive".to_owned()))
/// }));
/// let get = || service.clone().oneshot(Request::get("/report").body(String::new()).unwrap());
///
/// assert_eq!(get().await?.headers()["cache-status"], "Palisade; fwd=miss; stored");
/// assert_eq!(get().await?.headers()["cache-status"], "Palisade; hit");
///
/// cache.purge().path("/report").await?;
/// assert_eq!(get().await?.headers()["cache-status"], "Palisade; fwd=miss; stored");
/// # Ok(()) })
/// # }
/// ```
///
/// # What is never stored
///
/// A response that may be personal: to a request with `Authorization`, or with a [`Principal`](palisade_core::Principal) of any
/// authentication, outside or inside, unless [`per_principal`](CacheBuilder::per_principal) or
/// [`per_tenant`](CacheBuilder::per_tenant) keys it on purpose; with `Set-Cookie`; with `private`; to a request with `Cookie`,
/// unless the service or [`ignore_cookies`](CacheBuilder::ignore_cookies) says that it does not matter. Nor is an error of
/// Palisade, a rejection, a part of a response, a page with a nonce, a response that is longer than
/// [`max_body`](CacheBuilder::max_body), or one whose body fails.
///
/// Of a stored response, header fields that are made for one request are left out: those of CORS, of security, of rate limits,
/// and request ids. Layers outside write them on each response.
///
/// # Where it goes
///
/// Inside of authentication, CORS, limits and security headers, so that hits pass them too; outside of validation and of the
/// service. A policy that decides who may read a response has no effect inside of a cache that answers in its place.
///
/// # Concurrency
///
/// Concurrent requests for a response that is not stored run the service once; the others wait. If the response turns out not to
/// be one to share, all of them go on at once. Background renewals run on tokio.
///
/// The inner service gets its request with a [`Body`](palisade_core::Body), as background renewals have none.
#[derive(Clone)]
pub struct Cache {
    settings: Arc<Settings>,
}

impl Cache {
    /// Stores what the service allows, for as long as it says: a shared cache by RFC 9111.
    pub fn honour() -> CacheBuilder {
        CacheBuilder::new(Mode::Honour { heuristics: false })
    }

    /// Stores results, and renews them after this time. A response that is older is served once more while one request in the
    /// background renews it; if the service fails, it is served until the service succeeds.
    ///
    /// This is `revalidate = 60` of Next.js. Responses with the status 200, 203, 204, 301 and 308 are stored; others if the
    /// service says so.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_cache::Cache;
    ///
    /// let cache = Cache::revalidate(Duration::from_secs(60)).build()?;
    /// assert!(Cache::revalidate(Duration::ZERO).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn revalidate(after: Duration) -> CacheBuilder {
        CacheBuilder::new(Mode::Revalidate(after))
    }

    /// Stores results until they are removed: call [`Forever::until_purged`] next.
    pub fn forever() -> Forever {
        Forever::new()
    }

    /// Returns a handle that removes responses from the store of this cache.
    pub fn purge(&self) -> Purge {
        self.settings.store.purge()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("rules", &self.settings.rules)
            .field("store", &self.settings.store)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for Cache {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> CacheService<S> {
        CacheService::new(inner, Arc::clone(&self.settings))
    }
}
