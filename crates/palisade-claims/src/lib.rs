//! Claims: of several callers with the same key, one does the work, and the others get its result.
//!
//! A [`ClaimStore`] hands out a [`Reservation`] for a key once. Completing it stores a record, which later claims of the key
//! get until it expires. Dropping it releases the key. Webhook replay protection stores empty records; idempotency keys store
//! the response.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use palisade_claims::{Claim, ClaimStore, InMemoryClaims, Retention};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let store = InMemoryClaims::new(1_000)?;
//! let day = Retention::exactly(Duration::from_secs(24 * 60 * 60));
//!
//! let Claim::First(reservation) = store.claim("order-1", day).await? else { panic!("the key is new") };
//! assert!(matches!(store.claim("order-1", day).await?, Claim::InProgress));
//!
//! reservation.complete(Bytes::from("paid")).await?;
//! assert!(matches!(store.claim("order-1", day).await?, Claim::Completed(record) if record == "paid"));
//! # Ok(()) })
//! # }
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `redis` | [`RedisClaims`], for several machines |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod memory;
#[cfg(feature = "redis")]
mod redis;
mod store;

pub use memory::InMemoryClaims;
#[cfg(feature = "redis")]
pub use redis::RedisClaims;
pub use store::{Claim, ClaimStore, Reservation, Retention};
