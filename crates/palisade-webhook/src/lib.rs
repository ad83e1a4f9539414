//! Verifies incoming webhooks before the handler runs, and signs outgoing ones.
//!
//! [`Webhook`] is a layer for one endpoint. It knows how [Stripe], [GitHub], [Slack], [Twilio], [Shopify],
//! [Standard Webhooks](Standard) and [RFC 9421](HttpSignatures) sign, and can be told how [anybody else](HmacScheme)
//! sign. It verifies the raw bytes in constant time, rejects timestamps that are too far in the past or the future, supports
//! several active secrets, and with [`Replays`] processes each delivery once.
//!
//! Each scheme can also `sign`, for your tests; [`StandardSigner`] signs the webhooks that you send.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use palisade_webhook::{GitHub, Verified, Webhook};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # type In = palisade_core::Body<Full<Bytes>>;
//! let secret = "It's a Secret to Everybody";
//! let webhook = Webhook::github(secret).build()?;
//! let service = webhook.layer(service_fn(|request: Request<In>| async move {
//!     let verified = Verified::from_extensions(request.extensions()).expect("verified");
//!     assert_eq!(verified.scheme(), "github");
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
//! }));
//!
//! let signed = |body: &'static str| {
//!     let mut request = Request::post("/webhooks/github").body(Full::<Bytes>::from(body)).unwrap();
//!     request.headers_mut().extend(GitHub::sign(secret, b"Hello, World!").unwrap());
//!     request
//! };
//! assert_eq!(service.clone().oneshot(signed("Hello, World!")).await?.status(), StatusCode::OK);
//! assert_eq!(service.oneshot(signed("Hello, world!")).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(()) })
//! # }
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `axum` | [`Verified`] as an extractor |
//! | `ed25519` | the asymmetric signatures of Standard Webhooks (`v1a`) and of RFC 9421, which need a library written in C |
//! | `redis` | `RedisReplays`, for an endpoint on several machines |
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod builder;
mod fault;
mod github;
mod header_values;
mod hmac_scheme;
mod http_message;
mod key;
mod replay;
mod scheme;
mod shopify;
mod sign;
mod signature;
mod signature_headers;
mod slack;
mod standard;
mod stripe;
mod timestamp;
mod twilio;
mod verified;
mod webhook;

pub use builder::WebhookBuilder;
pub use github::GitHub;
pub use hmac_scheme::{Encoding, HmacScheme};
pub use http_message::HttpSignatures;
pub use key::Algorithm;
#[cfg(feature = "redis")]
pub use replay::RedisReplays;
pub use replay::{Claim, InMemoryReplays, ReplayStore, Replays, Reservation, Retention};
#[doc(hidden)]
pub use replay::{Settle, SettleFuture};
pub use shopify::Shopify;
pub use slack::Slack;
pub use standard::{Standard, StandardSigner};
pub use stripe::Stripe;
pub use twilio::Twilio;
pub use verified::Verified;
pub use webhook::Webhook;

/// The error codes of this crate, beside [`ApiError::KINDS`](palisade_core::ApiError::KINDS).
///
/// ```
/// assert_eq!(palisade_webhook::CODES[0].code, "DUPLICATE_DELIVERY");
/// ```
pub const CODES: &[palisade_core::ErrorCode] =
    &[replay::DUPLICATE_DELIVERY, replay::DELIVERY_IN_PROGRESS];
