//! How often a client may call: rate limits for any tower service, exact and in fixed memory, as one
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
//! | [`RateLimit::per_address`] | the client's address, IPv6 by /64 | outside authentication |
//! | [`RateLimit::per_principal`] | issuer and subject | inside authentication |
//! | [`RateLimit::per_key`] | [`ByHeader`], [`ByMethod`], [`ByPath`], a closure with [`by`], a [`Key`] of yours, or a tuple of them | where that is known |
//!
//! A request on which the key is missing is refused and not let through, unless [`missing_key`] says otherwise; where the
//! stack is put together wrongly that is a 500, and the log says once what to add.
//!
//! # How it counts
//!
//! | [`Quota`] | most in any window's length | on average | for |
//! | --- | --- | --- | --- |
//! | [`per`](Quota::per), a sliding window | twice the limit | the limit | APIs |
//! | [`strict`](Quota::strict) | the limit | the limit, less up to a ninth | what must hold |
//! | [`gcra`](Quota::gcra) | the burst and the limit | the limit | an even flow |
//! | [`fixed_window`](Quota::fixed_window) | twice the limit | the limit | plans that renew |
//! | `per_day`, `per_month` (feature `calendar`) | twice the limit | the limit | budgets that renew at local midnight |
//! | [`exact_log`](Quota::exact_log) | the limit | the limit | logins, small limits |
//!
//! How many requests are served at the same time is a policy of its own: [`ConcurrencyLimit`].
//!
//! All arithmetic is in integers, and `Retry-After` is exact: a client that waits so long and sends nothing else meanwhile
//! is admitted, and a nanosecond earlier it would not have been (the field itself rounds up to whole seconds). Windows
//! begin at multiples of their length on the monotonic clock, the same for all keys; in a shared store on its own clock, such
//! as at midnight UTC for a window of a day.
//!
//! A limit may have several quotas, `10 per second` and `1000 per hour`: a request is charged to all or to none. Quotas may
//! be [chosen for each request](RateLimitBuilder::quota), requests may [cost](RateLimitBuilder::cost) more than one or be
//! [skipped](RateLimitBuilder::skip), and only [failures](RateLimitBuilder::only_failures) may count. A limit may be tried
//! out [in the shadow](RateLimitBuilder::shadow) first.
//!
//! # What it costs
//!
//! The memory of the tables is taken when the limit is built, 32 bytes for each key of its
//! [capacity](RateLimitBuilder::capacity) for the usual quotas, and never grows. There is no background task; a key that has
//! been idle for two windows gives its place to the next. When more keys are active than there is room for, the least
//! active ones are evicted, and what they had used is remembered in a sketch. So a flood of made-up keys neither resets a
//! client nor lets any client have more than its limit, and rejects no newcomers until it is many times larger than the
//! table: see [capacity](RateLimitBuilder::capacity).
//!
//! A key of a sliding or fixed window is one atomic word: a decision about a key that the table knows takes no lock. No
//! decision by the quotas that a limit was made with allocates, but for what may be given back. The other
//! algorithms, limits over 65,534 and windows under a tenth of a second take one short lock
//! among many, never across an await. A request that the only quota refuses writes nothing. Concurrent requests are counted exactly: of a
//! thousand at once, a limit of a hundred admits a hundred.
//!
//! The word has room for 24 bits of a key's hash, so a new key is taken for another one about once in a million times, and
//! the two then share a quota. That nearly always errs towards refusing.
//!
//! # Sharing a limit between machines
//!
//! With the feature `store`, a limit counts in a [`Store`], such as the Redis of `palisade-rate-limit-redis`, and declares
//! what it does when that does not answer: see `SharedStore`.
//!
//! # Metrics
//!
//! A limit is a [`Measured`](palisade_core::Measured): it tells how many keys it has and had to drive out, and what it has
//! asked of its store. [`METRICS`] lists the names.
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
mod operate;
mod per_quota;
mod plan;
mod policy;
mod quota;
mod quotas;
mod settle;
#[cfg(feature = "store")]
mod shared;
mod standing;
mod status;
mod store;
mod table;
mod trailers;
mod waiting;

pub use admission::Admission;
pub use blocks::Ban;
pub use builder::{MissingKey, RateLimitBuilder};
pub use concurrency::{ConcurrencyLimit, ConcurrencyLimitBuilder, HeldSlot, Priority};
pub use handle::RateLimitHandle;
pub use headers::QuotaHeaders;
pub use key::{By, ByAddress, ByHeader, ByMethod, ByPath, ByPrincipal, FieldLines, Key, by};
pub use measured::METRICS;
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

/// The codes of issues that this crate finds.
///
/// ```
/// assert_eq!(palisade_rate_limit::ISSUE_CODES[0].code, "cost_exceeds_limit");
/// ```
pub const ISSUE_CODES: &[palisade_core::IssueCode] = &[limiter::COST_EXCEEDS_LIMIT];

palisade_core::impl_layer!(ConcurrencyLimit, RateLimit<K>);
