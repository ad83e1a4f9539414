//! Limits how many requests a client may send, for any tower service: exact, in fixed memory, and as one
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
//! // A hyper server adds the address of the peer for each connection. axum and tonic do this themselves.
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
//! # Keys
//!
//! | | key | where |
//! | --- | --- | --- |
//! | [`RateLimit::per_address`] | the client's address, IPv6 by /64 | outside authentication |
//! | [`RateLimit::per_principal`] | issuer and subject | inside authentication |
//! | [`RateLimit::per_key`] | [`ByHeader`], [`ByMethod`], [`ByPath`], a closure with [`by`], your own [`Key`], or a tuple of them | inside the layers that set it |
//!
//! A request without the key is rejected; [`missing_key`] changes this. If a layer that sets the key is missing, the request is
//! rejected with 500, and the log contains the remedy once.
//!
//! # Algorithms
//!
//! | [`Quota`] | maximum in any period of the window's length | average | for |
//! | --- | --- | --- | --- |
//! | [`per`](Quota::per), a sliding window | twice the limit | the limit | APIs |
//! | [`strict`](Quota::strict) | the limit | the limit, less up to a ninth | hard limits |
//! | [`gcra`](Quota::gcra) | the burst and the limit | the limit | an even rate |
//! | [`fixed_window`](Quota::fixed_window) | twice the limit | the limit | plans that renew |
//! | `per_day`, `per_month` (feature `calendar`) | twice the limit | the limit | budgets that renew at local midnight |
//! | [`exact_log`](Quota::exact_log) | the limit | the limit | logins, small limits |
//!
//! [`ConcurrencyLimit`] limits how many requests are served at the same time.
//!
//! All arithmetic is in integers, and `Retry-After` is exact before it is rounded up to whole seconds: a client that waits for
//! this time and sends nothing else is admitted, and a nanosecond earlier it is not. Windows begin at multiples of their length
//! on the monotonic clock, the same for all keys. A shared store uses its own clock: a window of a day begins at midnight UTC.
//!
//! A limit may have several quotas, `10 per second` and `1000 per hour`: a request is charged to all or to none. Quotas may
//! be [chosen for each request](RateLimitBuilder::quota), requests may [cost](RateLimitBuilder::cost) more than one or be
//! [skipped](RateLimitBuilder::skip), and only [failures](RateLimitBuilder::only_failures) may count. In
//! [shadow mode](RateLimitBuilder::shadow) a limit only logs.
//!
//! # Memory and speed
//!
//! The tables are allocated when the limit is built, with 32 bytes for each key of its
//! [capacity](RateLimitBuilder::capacity) for the usual quotas, and never grow. There is no background task: the place of a
//! key that was idle for two windows is reused. If more keys are active than the table has room for, the least active ones
//! are evicted, and a sketch records what they had used. So a flood of invented keys neither resets the count of a client nor
//! exceeds any limit, and it rejects no new client until it is many times larger than the table: see
//! [capacity](RateLimitBuilder::capacity).
//!
//! A key of a sliding or fixed window is one atomic word, so a decision about a key in the table takes no lock. Decisions by
//! fixed quotas do not allocate, unless charges can be returned. The other algorithms, limits over 65,534 and windows under a
//! tenth of a second take one of many short locks, never across an await. A rejection by a single quota writes nothing.
//! Concurrent requests are counted exactly: of a thousand at once, a limit of a hundred admits a hundred.
//!
//! The word contains 24 bits of a key's hash, so about one new key in a million is taken for another key, and the two share a
//! quota. In nearly all cases this rejects too much instead of admitting too much.
//!
//! # Sharing a limit between machines
//!
//! With the feature `store`, a limit counts in a [`Store`], such as Redis with `palisade-rate-limit-redis`. `SharedStore` sets
//! what happens if the store fails.
//!
//! # Metrics
//!
//! A limit is [`Measured`](palisade_core::Measured): it reports its keys, evictions, rejections and questions to its store.
//! [`METRICS`] lists the names.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `axum` | peer addresses from axum's `ConnectInfo`, route templates from its `MatchedPath` |
//! | `calendar` | budgets for each day or month in a time zone: `Quota::per_day`, `Quota::per_month` |
//! | `store` | limits that machines share: `SharedStore` |
//! | `tonic` | peer addresses from tonic's `TcpConnectInfo` |
//!
//! [`missing_key`]: RateLimitBuilder::missing_key
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
mod algorithm;
mod attempt;
mod blocks;
mod builder;
mod calendar;
mod concurrency;
mod counters;
mod handle;
mod headers;
mod key;
mod limiter;
mod measured;
mod missing_key;
mod operate;
mod per_quota;
mod policy;
mod quota;
mod quota_source;
mod quotas;
mod rejection;
mod request_tables;
mod settle;
#[cfg(feature = "store")]
mod shared;
mod standing;
mod status;
mod store;
#[cfg(feature = "store")]
mod store_decision;
mod table;
mod trailers;
mod waiting;
mod waiting_request;

pub use admission::Admission;
pub use blocks::Ban;
pub use builder::RateLimitBuilder;
pub use concurrency::{ConcurrencyLimit, ConcurrencyLimitBuilder, HeldSlot, Priority};
pub use handle::RateLimitHandle;
pub use headers::QuotaHeaders;
pub use key::{By, ByAddress, ByHeader, ByMethod, ByPath, ByPrincipal, FieldLines, Key, by};
pub use measured::METRICS;
pub use missing_key::MissingKey;
pub use policy::RateLimit;
pub use quota::{Algorithm, Quota};
pub use quotas::Quotas;
pub use settle::ActualCost;
#[cfg(feature = "store")]
pub use shared::{SharedStore, StoreStats};
pub use standing::Standing;
pub use status::{QuotaStatus, RateLimitStatus};
pub use store::{
    Action, Block, Demand, Fit, Forget, Intervention, KeyError, Reading, Refund, Store, Verdict,
};

/// The issue codes of this crate.
///
/// ```
/// assert_eq!(palisade_rate_limit::ISSUE_CODES[0].code, "cost_exceeds_limit");
/// ```
pub const ISSUE_CODES: &[palisade_core::IssueCode] = &[rejection::COST_EXCEEDS_LIMIT];

palisade_core::impl_layer!(ConcurrencyLimit, RateLimit<K>);
