//! API policies as tower layers: authentication, roles, CORS, rate limits, body limits, validation, webhooks and one
//! error format.
//!
//! - [`stack`]: many policies around a service, in an order that the compiler checks.
#![cfg_attr(
    feature = "auth",
    doc = "- [`WithAuth`]: `with_auth` and `with_role` on a route, a handler or a `ServiceBuilder`."
)]
//! - [`Policy`]: a rule of your own. [`ErrorLayer`] and [`ApiError`]: one error format.
//! - [`guide`]: the guide, page by page.
//!
//! [guide-adopt]: guide::adopt
//! [guide-authentication]: guide::authentication
//! [guide-bodies]: guide::bodies
//! [guide-caching]: guide::caching
//! [guide-client-address]: guide::client_address
//! [guide-cors]: guide::cors
//! [guide-deploying]: guide::deploying
//! [guide-errors]: guide::errors
//! [guide-getting-started]: guide::getting_started
//! [guide-headers]: guide::headers
//! [guide-idempotency]: guide::idempotency
//! [guide-nextjs]: guide::nextjs
//! [guide-observability]: guide::observability
//! [guide-openapi]: guide::openapi
//! [guide-rate-limits]: guide::rate_limits
//! [guide-redis]: guide::redis
//! [guide-rules]: guide::rules
//! [guide-troubleshooting]: guide::troubleshooting
//! [guide-validation]: guide::validation
//! [guide-webhooks]: guide::webhooks
//! [guide-writing-a-policy]: guide::writing_a_policy
//!
#![doc = include_str!("../docs/intro.md")]
#![cfg_attr(
    all(feature = "auth", feature = "axum", feature = "body", feature = "cors", feature = "observe", feature = "rate-limit"),
    doc = include_str!("../docs/axum.md")
)]
#![cfg_attr(feature = "rate-limit", doc = include_str!("../docs/hyper.md"))]
#![cfg_attr(all(feature = "auth", feature = "observe", feature = "tonic"), doc = include_str!("../docs/tonic.md"))]
#![doc = include_str!("../docs/policies.md")]
#![doc = include_str!("../docs/own_policy.md")]
#![cfg_attr(feature = "testing", doc = include_str!("../docs/own_policy_test.md"))]
#![doc = include_str!("../docs/cost.md")]
#![doc = include_str!("../docs/features.md")]
#![doc = include_str!("../docs/more.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod catalogue;
pub mod guide;
#[cfg(feature = "openapi")]
pub mod openapi;
mod stack;
#[cfg(feature = "auth")]
mod with_auth;

#[doc(inline)]
pub use palisade_core::*;

#[cfg(feature = "auth")]
#[doc(inline)]
pub use palisade_auth as auth;
#[cfg(feature = "body")]
#[doc(inline)]
pub use palisade_body as body;
#[cfg(feature = "cache")]
#[doc(inline)]
pub use palisade_cache as cache;
#[cfg(feature = "cors")]
#[doc(inline)]
pub use palisade_cors as cors;
#[cfg(feature = "headers")]
#[doc(inline)]
pub use palisade_headers as headers;
#[cfg(feature = "idempotency")]
#[doc(inline)]
pub use palisade_idempotency as idempotency;
#[cfg(feature = "observe")]
#[doc(inline)]
pub use palisade_observe as observe;
#[cfg(feature = "rate-limit")]
#[doc(inline)]
pub use palisade_rate_limit as rate_limit;
#[cfg(feature = "rate-limit-redis")]
#[doc(inline)]
pub use palisade_rate_limit_redis as rate_limit_redis;
#[cfg(feature = "recorder")]
#[doc(inline)]
pub use palisade_recorder as recorder;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use palisade_redis as redis;
#[cfg(feature = "validate")]
#[doc(inline)]
pub use palisade_validate as validate;
#[cfg(feature = "webhook")]
#[doc(inline)]
pub use palisade_webhook as webhook;

pub use catalogue::{CatalogueEntry, IssueCatalogueEntry, catalogue, issue_codes};
#[cfg(all(feature = "body", feature = "tower"))]
pub use stack::{BoxedService, BoxedStack};
pub use stack::{Stack, order, stack};
#[cfg(feature = "auth")]
pub use with_auth::{WithAuth, on};
