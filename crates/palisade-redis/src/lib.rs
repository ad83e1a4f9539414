//! The Redis and Valkey client of Palisade's shared stores: caches, idempotency keys, rate limits, sessions, DPoP proofs and webhook
//! deliveries.
//!
//! ```no_run
//! use palisade_redis::{Redis, Script};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let redis = Redis::builder("redis://127.0.0.1:6379").prefix("shop").build()?;
//!
//! // for a store of your own: a script decides in one step on the server
//! let count = Script::new("return { redis.call('INCR', KEYS[1]), redis.call('PEXPIRE', KEYS[1], ARGV[1]) }");
//! let key = format!("{}:visits", redis.prefix());
//! let numbers = redis.run(&count, &[key], &["60000".to_owned()]).await?;
//! println!("{} within a minute", numbers[0]);
//! # Ok(())
//! # }
//! ```
//!
//! A script takes one round trip, by its hash. Scripts that were [preloaded](Redis::preload) are loaded when a connection is
//! opened; a server that lost them since, because it was flushed, is sent the text.
//!
//! # When the server does not answer
//!
//! No call takes longer than the connect and the response time-out together, 1 s and 500 ms unless
//! [set](RedisBuilder::response_timeout), and while a connection is open only the latter. Then it returns an error. No call is
//! repeated if it could run twice: only a call on a connection that was closed while it was idle is repeated, and one that a
//! node of a cluster did not run because another node serves the slot.
//!
//! The connection is opened by the first call, or by [`Redis::ready`], and shared by all. When it breaks, the next call opens
//! another; if that fails, attempts become rarer, down to one a second, and calls between them fail at once. A
//! connection is closed if its server is silent for a second, and so is one to a master that became a replica (`READONLY`)
//! or has lost its replicas (`NOREPLICAS`). Behind sentinels, a connection that was idle for a second is used after a
//! sentinel has confirmed that its server still is the master.
//!
//! In a cluster each master has a connection of its own: while one is down or stalled, calls to the others do not notice.
//!
//! # Servers
//!
//! Redis from 5 on, or Valkey; tested with Redis 7.0 and Valkey 9. Alone, behind sentinels ([`Redis::sentinel`]) or as a
//! cluster (`Redis::cluster`). The user needs `+evalsha +eval`, the commands of the scripts, behind sentinels `+role`, in a
//! cluster `+cluster|slots`, and should have `+script|load`. Messages between machines ([`Redis::listen`]) need Redis 6, and
//! `+publish +subscribe` on the channel.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `cluster` | `Redis::cluster` |
//! | `tls` | `rediss://`, trusting the web's certificate authorities or your own |
//! | `testing` | servers for tests, started and stopped, paused and emptied |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;
#[cfg(feature = "cluster")]
mod cluster;
mod error;
mod link;
mod script;
mod setup;
#[cfg(feature = "testing")]
pub mod testing;
mod topology;

pub use builder::RedisBuilder;
pub use client::{Redis, key_part};
pub use error::RedisError;
pub use script::Script;
