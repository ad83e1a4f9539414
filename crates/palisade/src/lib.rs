//! API policies as tower layers: authentication, roles, CORS, rate limits, body limits, validation and one error format.
#![cfg_attr(
    all(
        feature = "auth",
        feature = "axum",
        feature = "body",
        feature = "cors",
        feature = "observe",
        feature = "rate-limit",
        feature = "testing",
        feature = "tonic",
        feature = "tower",
        feature = "validate",
    ),
    doc = include_str!("../../../README.md")
)]

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
#[cfg(feature = "observe")]
#[doc(inline)]
pub use palisade_observe as observe;
#[cfg(feature = "rate-limit")]
#[doc(inline)]
pub use palisade_rate_limit as rate_limit;
#[cfg(feature = "validate")]
#[doc(inline)]
pub use palisade_validate as validate;

pub use stack::{Stack, order, stack};
#[cfg(feature = "auth")]
pub use with_auth::{WithAuth, on};

/// The pages of the guide, whose examples are tests.
#[cfg(all(doctest, feature = "axum"))]
mod guide {
    #[cfg(feature = "auth")]
    #[doc = include_str!("../../../docs/guide/authentication.md")]
    struct Authentication;

    #[cfg(feature = "rate-limit")]
    #[doc = include_str!("../../../docs/guide/client-address.md")]
    struct ClientAddress;

    #[cfg(all(feature = "observe", feature = "rate-limit"))]
    #[doc = include_str!("../../../docs/guide/observability.md")]
    struct Observability;
}
