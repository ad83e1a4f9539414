//! Headers for browsers and caches, and decisions by method and country, as [Palisade](https://docs.rs/palisade) policies.
//!
//! | policy | purpose |
//! | --- | --- |
//! | [`SecurityHeaders`] | writes security headers on every response |
//! | [`CacheControl`] | writes `Cache-Control` on responses without it |
//! | [`Deprecation`] | announces that routes are deprecated, and when they will be removed |
//! | [`Methods`] | answers 405 with the right `Allow`, and OPTIONS, for services without a router |
//! | [`HeadFromGet`] | answers HEAD from GET; a layer, because it drops the body |
//! | [`Geo`] | allows or denies countries, by a header of trusted proxies |
//!
//! ```
//! use http::{Request, Response};
//! use palisade_headers::SecurityHeaders;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let security = SecurityHeaders::api().build()?;
//! let service = security.layer().layer(service_fn(async |_: Request<String>| {
//!     Ok::<_, std::convert::Infallible>(Response::new("[]".to_owned()))
//! }));
//!
//! let response = service.oneshot(Request::get("/orders").body(String::new())?).await?;
//! assert_eq!(response.headers()["x-content-type-options"], "nosniff");
//! assert_eq!(
//!     response.headers()["content-security-policy"],
//!     "default-src 'none'; frame-ancestors 'none'"
//! );
//! # Ok(()) })
//! # }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache_control;
mod content_security_policy;
mod deprecation;
mod framing;
mod geo;
mod head_from_get;
mod hsts;
mod methods;
mod permissions_policy;
mod security_headers;
mod sources;
mod tokens;

pub use cache_control::{CacheControl, CacheControlBuilder, CacheControlGrant};
pub use content_security_policy::{ContentSecurityPolicy, CspNonce};
pub use deprecation::{Deprecation, DeprecationBuilder};
pub use framing::{FrameOptions, Framing};
pub use geo::{Country, Geo, GeoBuilder};
pub use head_from_get::{HeadFromGet, HeadFromGetFuture, HeadFromGetService};
pub use hsts::Hsts;
pub use methods::{Methods, MethodsBuilder};
pub use permissions_policy::PermissionsPolicy;
pub use security_headers::{SecurityHeaders, SecurityHeadersBuilder, SecurityHeadersGrant};
pub use tokens::{EmbedderPolicy, OpenerPolicy, ReferrerPolicy, ResourcePolicy};

/// The error codes of this crate, beside [`ApiError::KINDS`](palisade_core::ApiError::KINDS).
///
/// ```
/// assert_eq!(palisade_headers::CODES[0].code, "COUNTRY_NOT_ALLOWED");
/// ```
pub const CODES: &[palisade_core::ErrorCode] = &[geo::COUNTRY_NOT_ALLOWED];

palisade_core::impl_layer!(CacheControl, Deprecation, Geo, Methods, SecurityHeaders);
