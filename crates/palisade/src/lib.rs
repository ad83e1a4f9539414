//! API policies as tower layers: authentication, roles, CORS, rate limits, body limits, validation, webhooks and one
//! error format.
#![cfg_attr(
    all(
        feature = "auth",
        feature = "axum",
        feature = "body",
        feature = "cors",
        feature = "headers",
        feature = "observe",
        feature = "rate-limit",
        feature = "testing",
        feature = "tonic",
        feature = "tower",
        feature = "validate",
        feature = "webhook",
    ),
    doc = include_str!("../../../README.md")
)]

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
#[cfg(feature = "cors")]
#[doc(inline)]
pub use palisade_cors as cors;
#[cfg(feature = "headers")]
#[doc(inline)]
pub use palisade_headers as headers;
#[cfg(feature = "observe")]
#[doc(inline)]
pub use palisade_observe as observe;
#[cfg(feature = "rate-limit")]
#[doc(inline)]
pub use palisade_rate_limit as rate_limit;
#[cfg(feature = "rate-limit-redis")]
#[doc(inline)]
pub use palisade_rate_limit_redis as rate_limit_redis;
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
pub use stack::{Stack, order, stack};
#[cfg(feature = "auth")]
pub use with_auth::{WithAuth, on};

/// The pages of the guide, whose examples are tests.
#[cfg(all(doctest, feature = "axum"))]
mod guide {
    #[cfg(any(feature = "aws-lc", feature = "rust-crypto"))]
    #[doc = include_str!("../../../docs/guide/authentication.md")]
    struct Authentication;

    #[cfg(all(feature = "body", feature = "gzip"))]
    #[doc = include_str!("../../../docs/guide/bodies.md")]
    struct Bodies;

    #[cfg(all(feature = "observe", feature = "tonic"))]
    #[doc = include_str!("../../../docs/guide/errors.md")]
    struct Errors;

    #[cfg(all(feature = "aide", feature = "auth", feature = "openapi"))]
    #[doc = include_str!("../../../docs/guide/openapi.md")]
    struct OpenApi;

    #[cfg(feature = "rate-limit")]
    #[doc = include_str!("../../../docs/guide/client-address.md")]
    struct ClientAddress;

    #[cfg(all(feature = "auth", feature = "cors"))]
    #[doc = include_str!("../../../docs/guide/cors.md")]
    struct Cors;

    #[cfg(feature = "rate-limit-redis")]
    #[doc = include_str!("../../../docs/guide/rate-limits.md")]
    struct RateLimits;

    #[cfg(all(feature = "cors", feature = "headers", feature = "rate-limit"))]
    #[doc = include_str!("../../../docs/guide/headers.md")]
    struct Headers;

    #[cfg(feature = "webhook-redis")]
    #[doc = include_str!("../../../docs/guide/webhooks.md")]
    struct Webhooks;

    #[cfg(all(feature = "multipart", feature = "schemars"))]
    #[doc = include_str!("../../../docs/guide/validation.md")]
    struct Validation;

    #[cfg(all(feature = "auth", feature = "observe", feature = "rate-limit"))]
    #[doc = include_str!("../../../docs/guide/observability.md")]
    struct Observability;
}
