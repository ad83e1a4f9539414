//! HTTP caching for [Palisade](https://docs.rs/palisade): a shared cache by
//! [RFC 9111](https://www.rfc-editor.org/rfc/rfc9111) as a tower layer, entity tags, and conditional requests.
//!
//! - [`Cache`] stores responses and answers requests from them.
//! - [`CacheStore`] is a place for responses, in memory or in Redis, which several caches share.
//! - [`Purge`] removes them by path, by [tag](CacheTags), or all at once.
//! - [`ETag`] gives responses an entity tag, and answers clients that have the response with 304.
//! - [`Preconditions`] checks `If-Match` in handlers, and [`RequirePrecondition`] demands it.
//!
//! ```
//! use std::time::Duration;
//! use http::{Request, Response};
//! use palisade_cache::Cache;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let service = Cache::revalidate(Duration::from_secs(60)).build()?.layer(service_fn(async |_: Request<_>| {
//!     Ok::<_, std::convert::Infallible>(Response::new("expensive".to_owned()))
//! }));
//! for expected in ["Palisade; fwd=miss; stored", "Palisade; hit"] {
//!     let request = Request::get("/report").body(String::new())?;
//!     assert_eq!(service.clone().oneshot(request).await?.headers()["cache-status"], expected);
//! }
//!
//! // a response to an authenticated request is not stored
//! let request = Request::get("/report?of=me").header("authorization", "Bearer x").body(String::new())?;
//! assert_eq!(service.clone().oneshot(request).await?.headers()["cache-status"], "Palisade; fwd=bypass");
//! # Ok(()) })
//! # }
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `axum` | [`Preconditions`] as a parameter of handlers, and whole paths behind nested routers |
//! | `redis` | `CacheStore::redis`, for a service on several machines |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod entry;
mod etag;
mod preconditions;
mod purge;
mod rules;
mod store;
mod tags;

pub use cache::{Cache, CacheBuilder, CacheFuture, CacheService, Forever};
pub use etag::{ETag, ETagFuture, ETagService};
pub use preconditions::{EntityTag, Preconditions, RequirePrecondition, Validators};
pub use purge::Purge;
pub use store::CacheStore;
pub use tags::CacheTags;

use palisade_core::ErrorCode;

/// The codes of this crate, for the catalogue.
pub const CODES: &[ErrorCode] = &[cache::NOT_CACHED];
