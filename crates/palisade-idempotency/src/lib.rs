//! `Idempotency-Key` as a tower layer, by [draft-ietf-httpapi-idempotency-key-header-07].
//!
//! A client that got no response does not know whether its request was processed. With an `Idempotency-Key` it can send the
//! request again: the handler runs once, and retries get the response of the first attempt.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use palisade_core::{Body, Principal};
//! use palisade_idempotency::{Idempotency, InMemoryClaims};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let payments = std::sync::atomic::AtomicUsize::new(0);
//! let pay = service_fn({
//!     let payments = std::sync::Arc::new(payments);
//!     move |_: Request<Body<Full<Bytes>>>| {
//!         let number = payments.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
//!         async move { Ok::<_, std::convert::Infallible>(Response::new(Full::from(format!("payment {number}")))) }
//!     }
//! });
//! let service = Idempotency::new(InMemoryClaims::new(100_000)?).build()?.layer(pay);
//!
//! for replayed in [None, Some("true")] {
//!     let mut request = Request::post("/payments").header("idempotency-key", "8e03978e").body(Full::from("10 EUR"))?;
//!     request.extensions_mut().insert(Principal::new("ada")); // as an authentication outside does
//!     let response = service.clone().oneshot(request).await?;
//!     let header = response.headers().get("idempotent-replayed");
//!     assert_eq!(header.map(|value| value.to_str().unwrap()), replayed);
//!     assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "payment 1");
//! }
//! # Ok(()) })
//! # }
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `axum` | [`IdempotencyKey`] as an extractor, and scopes by route templates instead of paths |
//! | `redis` | `RedisClaims`, for several machines |
//!
//! [draft-ietf-httpapi-idempotency-key-header-07]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod body;
mod builder;
mod claimed;
mod codes;
mod fingerprint;
mod header;
mod idempotency;
mod key;
mod outcome;
mod pump;
mod record;
mod rules;
mod run;
mod settle;

pub use builder::IdempotencyBuilder;
pub use codes::CODES;
pub use idempotency::Idempotency;
pub use key::{IdempotencyKey, RecordTransaction};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use palisade_claims::RedisClaims;
pub use palisade_claims::{Claim, ClaimStore, InMemoryClaims, Reservation, Retention};
#[doc(hidden)]
pub use {
    idempotency::ClaimKey,
    run::{Run, RunFuture},
};
