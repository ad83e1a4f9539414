//! How often a client may call: a sliding-window limit for any tower service, in fixed memory, as one
//! [`Policy`](palisade_core::Policy) of Palisade.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use palisade_core::{PeerAddr, PolicyLayer};
//! use palisade_rate_limit::{Quota, RateLimit};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let service = service_fn(|_: Request<Full<Bytes>>| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//! });
//!
//! // Two requests a minute for each client.
//! let limit = RateLimit::per_address(Quota::per(2, Duration::from_secs(60))).build()?;
//! let service = limit.layer().layer(service);
//!
//! // A hyper server says for each connection who is at the other end. axum and tonic do it by themselves.
//! let peer = "192.0.2.1:4000".parse().unwrap();
//! let service = PolicyLayer::new(PeerAddr(peer)).layer(service);
//!
//! let request = || Request::get("/").body(Full::default()).unwrap();
//! let response = service.clone().oneshot(request()).await.unwrap();
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(response.headers()["ratelimit-policy"], r#""default";q=2;w=60"#);
//! assert!(response.headers()["ratelimit"].to_str().unwrap().starts_with(r#""default";r=1;t="#));
//!
//! service.clone().oneshot(request()).await.unwrap();
//! let response = service.oneshot(request()).await.unwrap();
//! assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
//! assert!(response.headers().contains_key("retry-after"));
//! # Ok::<_, palisade_core::ConfigError>(())
//! # }).unwrap();
//! ```
//!
//! # By what it counts
//!
//! | | key | where |
//! | --- | --- | --- |
//! | [`RateLimit::per_address`] | the socket's peer, IPv6 by /64 | outside authentication |
//! | [`RateLimit::per_principal`] | issuer and subject | inside authentication |
//! | [`RateLimit::per_key`] | a [`Key`] of yours | where that is known |
//!
//! A request on which the key is missing is refused with 500 and not let through; the log says once what to add.
//!
//! # How exact it is
//!
//! It keeps two counts for each key, of this window and of the one before, and takes those of the window before to have
//! come evenly: with 15 seconds of a minute elapsed, three quarters of them still count. All arithmetic is in integers,
//! and `Retry-After` is exact: a client that waits so long and sends nothing else meanwhile is admitted, and a
//! nanosecond earlier it would not have been (the field itself rounds up to whole seconds).
//!
//! For traffic that comes evenly, the count is right to about one in a hundred. The worst case is a client that sends a
//! whole quota at the end of a window and waits for just so long that it has aged out: **at most twice the limit in any
//! one window's length**, and no more than the limit on average. Windows begin at multiples of their length on the
//! monotonic clock, the same for all keys.
//!
//! # What it costs
//!
//! The table of keys is taken when the limit is built, 32 bytes for each key of its
//! [capacity](RateLimitBuilder::capacity), and never grows. There is no background task; a key that has been idle for two
//! windows gives its place to the next. When more keys are active than there is room for, the least active ones give
//! way, and a newcomer starts with what they had used. So a flood of made-up keys neither resets a client that
//! is at its limit nor lets any client have more than its limit; it makes newcomers start with less than a full quota.
//!
//! A decision takes one short lock among many (one for every six keys of capacity), never across an await, and does not
//! allocate. A refused request writes nothing. Concurrent requests are counted exactly: of a thousand at once, a limit of
//! a hundred admits a hundred.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `axum` | peer addresses from axum's `ConnectInfo` |
//! | `tonic` | peer addresses from tonic's `TcpConnectInfo` |

mod admission;
mod algorithm;
mod builder;
mod counters;
mod headers;
mod key;
mod policy;
mod quota;
mod quotas;
#[cfg(feature = "store")]
mod shared;
mod standing;
mod store;
mod table;

pub use admission::Admission;
pub use builder::{MissingKey, RateLimitBuilder};
pub use headers::QuotaHeaders;
pub use key::{By, ByAddress, ByHeader, ByMethod, ByPath, ByPrincipal, FieldLines, Key, by};
pub use policy::RateLimit;
pub use quota::{Algorithm, Quota};
pub use quotas::Quotas;
#[cfg(feature = "store")]
pub use shared::{SharedStore, StoreStats};
pub use standing::Standing;
pub use store::{Demand, Fit, Reading, Refund, Store, Verdict};
