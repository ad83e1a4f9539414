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
//! [guide-authentication]: guide::authentication
//! [guide-bodies]: guide::bodies
//! [guide-caching]: guide::caching
//! [guide-client-address]: guide::client_address
//! [guide-cors]: guide::cors
//! [guide-errors]: guide::errors
//! [guide-headers]: guide::headers
//! [guide-idempotency]: guide::idempotency
//! [guide-observability]: guide::observability
//! [guide-openapi]: guide::openapi
//! [guide-rate-limits]: guide::rate_limits
//! [guide-validation]: guide::validation
//! [guide-webhooks]: guide::webhooks
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

/// The pages of the guide. Their examples are tests.
// browsers print URLs in quotes, and the guide quotes them
#[allow(rustdoc::bare_urls)]
pub mod guide {
    #[cfg(any(
        not(doctest),
        all(feature = "axum", any(feature = "aws-lc", feature = "rust-crypto"))
    ))]
    #[doc = include_str!("../docs/guide/authentication.md")]
    pub mod authentication {}

    #[cfg(any(not(doctest), all(feature = "axum", all(feature = "body", feature = "gzip"))))]
    #[doc = include_str!("../docs/guide/bodies.md")]
    pub mod bodies {}

    #[cfg(any(not(doctest), all(feature = "axum", feature = "cache", feature = "auth")))]
    #[doc = include_str!("../docs/guide/caching.md")]
    pub mod caching {}

    #[cfg(any(not(doctest), all(feature = "axum", feature = "rate-limit")))]
    #[doc = include_str!("../docs/guide/client-address.md")]
    pub mod client_address {}

    #[cfg(any(not(doctest), all(feature = "axum", all(feature = "auth", feature = "cors"))))]
    #[doc = include_str!("../docs/guide/cors.md")]
    pub mod cors {}

    #[cfg(any(not(doctest), all(feature = "axum", all(feature = "observe", feature = "tonic"))))]
    #[doc = include_str!("../docs/guide/errors.md")]
    pub mod errors {}

    #[cfg(any(
        not(doctest),
        all(feature = "axum", all(feature = "cors", feature = "headers", feature = "rate-limit"))
    ))]
    #[doc = include_str!("../docs/guide/headers.md")]
    pub mod headers {}

    #[cfg(any(
        not(doctest),
        all(feature = "axum", all(feature = "auth", feature = "idempotency-redis"))
    ))]
    #[doc = include_str!("../docs/guide/idempotency.md")]
    pub mod idempotency {}

    #[cfg(any(
        not(doctest),
        all(feature = "axum", all(feature = "auth", feature = "observe", feature = "rate-limit"))
    ))]
    #[doc = include_str!("../docs/guide/observability.md")]
    pub mod observability {}

    #[cfg(any(
        not(doctest),
        all(feature = "axum", all(feature = "aide", feature = "auth", feature = "openapi"))
    ))]
    #[doc = include_str!("../docs/guide/openapi.md")]
    pub mod openapi {}

    #[cfg(any(not(doctest), all(feature = "axum", feature = "rate-limit-redis")))]
    #[doc = include_str!("../docs/guide/rate-limits.md")]
    pub mod rate_limits {}

    #[cfg(any(
        not(doctest),
        all(feature = "axum", all(feature = "multipart", feature = "schemars"))
    ))]
    #[doc = include_str!("../docs/guide/validation.md")]
    pub mod validation {}

    #[cfg(any(not(doctest), all(feature = "axum", feature = "webhook-redis")))]
    #[doc = include_str!("../docs/guide/webhooks.md")]
    pub mod webhooks {}
}
