//! CORS as a [Palisade](https://docs.rs/palisade) policy: sets which origins may read responses.
//!
//! [`Cors`] implements the server's half of the [CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol) of the Fetch
//! standard. It answers preflights before any inner policy runs, and writes the CORS headers of all other responses, including
//! rejections by inner policies.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use http::{Method, Request, Response, StatusCode, header};
//! use palisade_cors::Cors;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # use bytes::Bytes;
//! # use http_body_util::Full;
//! let cors = Cors::allow_origins(["https://app.example.com", "https://admin.example.com"])
//!     .allow_methods([Method::GET, Method::PUT, Method::DELETE])
//!     .allow_headers(["authorization", "content-type"])
//!     .allow_credentials(true)
//!     .max_age(Duration::from_secs(7200))
//!     .build()?;
//!
//! let service = cors.layer().layer(service_fn(|_: Request<Full<Bytes>>| async {
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("orders"))))
//! }));
//!
//! // A page of a listed origin may read the response.
//! let request = Request::get("/orders")
//!     .header(header::ORIGIN, "https://app.example.com")
//!     .body(Full::default())
//!     .unwrap();
//! let response = service.clone().oneshot(request).await.unwrap();
//! assert_eq!(response.headers()["access-control-allow-origin"], "https://app.example.com");
//! assert_eq!(response.headers()["access-control-allow-credentials"], "true");
//! assert_eq!(response.headers()["vary"], "Origin");
//!
//! // Before it deletes something, the browser asks whether it may.
//! let preflight = |origin| {
//!     Request::options("/orders/7")
//!         .header(header::ORIGIN, origin)
//!         .header(header::ACCESS_CONTROL_REQUEST_METHOD, "DELETE")
//!         .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization")
//!         .body(Full::default())
//!         .unwrap()
//! };
//! let response = service.clone().oneshot(preflight("https://app.example.com")).await.unwrap();
//! assert_eq!(response.status(), StatusCode::NO_CONTENT);
//! assert_eq!(response.headers()["access-control-allow-methods"], "DELETE");
//! assert_eq!(response.headers()["access-control-allow-headers"], "authorization");
//!
//! // A page of another origin may not.
//! let response = service.oneshot(preflight("https://evil.example")).await.unwrap();
//! assert_eq!(response.status(), StatusCode::FORBIDDEN);
//! assert!(!response.headers().contains_key("access-control-allow-origin"));
//! # Ok::<_, palisade_core::ConfigError>(())
//! # })?;
//! # Ok::<_, palisade_core::ConfigError>(())
//! ```
//!
//! # Where it goes
//!
//! Outside all policies that may reject. A preflight carries no credentials, so an outer authentication would answer it with
//! 401 and block all pages; and a 429 of an outer rate limit has no CORS headers, so the page sees a network error instead of
//! `Retry-After`. In a [`Chain`](palisade_core::Chain): `cors.then(auth).then(limit)`.
//!
//! # Allowed origins
//!
//! | setting | allows |
//! | --- | --- |
//! | [`allow_origin("https://app.example.com")`](CorsBuilder::allow_origin) | this origin, byte for byte |
//! | `allow_origin("https://*.example.com")` | all subdomains at any depth, but not the domain itself |
//! | `allow_origin("http://localhost:*")` | all ports of this host |
//! | `allow_origin("chrome-extension://knldjmfmopnpolahpmmgbagdohdnhkik")` | this extension or app, byte for byte |
//! | [`allow_origin_if`](CorsBuilder::allow_origin_if) | origins by a predicate |
//! | [`allow_origin_lookup`](CorsBuilder::allow_origin_lookup) | origins by a database |
//! | [`any_origin`](CorsBuilder::any_origin) | all pages, without credentials |
//! | [`insecure_allow_null`](CorsBuilder::insecure_allow_null) | all pages with the origin `null` |
//!
//! The time of a lookup does not depend on the number of listed origins.
//!
//! # Limits
//!
//! CORS sets which pages may *read* a response. It does not restrict access: a request from an origin that is not listed still
//! reaches the service, and only its response is hidden from the page. Use authentication to restrict access and CSRF
//! protection against forged writes. CORS does not cover WebSocket handshakes; [`strict`](CorsBuilder::strict) rejects those
//! and all other requests from pages that are not listed.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod allowlist;
mod builder;
mod decide;
mod grant;
mod handle;
mod headers;
mod lookup;
mod paths;
mod pattern;
mod policy;
mod predicate;
mod preflight;
mod refusal;
mod request_headers;
mod rules;
mod subdomains;

pub use builder::CorsBuilder;
pub use grant::CorsGrant;
pub use handle::CorsHandle;
pub use lookup::LookupLimits;
pub use policy::Cors;

/// The error codes of this crate, beside [`ApiError::KINDS`](palisade_core::ApiError::KINDS).
///
/// ```
/// assert_eq!(palisade_cors::CODES[0].code, "ORIGIN_NOT_ALLOWED");
/// ```
pub const CODES: &[palisade_core::ErrorCode] = &[refusal::ORIGIN_NOT_ALLOWED];

palisade_core::impl_layer!(Cors);
