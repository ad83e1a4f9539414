//! The way to Redis or Valkey: one connection for all that machines share, such as the limits of
//! `palisade-rate-limit-redis` and the replays of `palisade-webhook`.
//!
//! ```no_run
//! use palisade_redis::{Redis, Script};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let redis = Redis::builder("redis://127.0.0.1:6379").prefix("shop").build()?;
//!
//! // for a store of your own: what is decided is decided in one step on the server
//! let count = Script::new("return { redis.call('INCR', KEYS[1]), redis.call('PEXPIRE', KEYS[1], ARGV[1]) }");
//! let key = format!("{}:visits", redis.prefix());
//! let numbers = redis.run(&count, &[key], &["60000".to_owned()]).await?;
//! println!("{} within a minute", numbers[0]);
//! # Ok(())
//! # }
//! ```
//!
//! A script takes one round trip, by its hash. A server that does not know the hash, because it was restarted or flushed, is
//! sent the text.
//!
//! # When the server does not answer
//!
//! No call takes longer than the connect and the response time-out together, 200 ms and 50 ms unless
//! [set](RedisBuilder::response_timeout), and while a connection is open only the latter. Then there is an error, and whoever
//! asked does what it was told to do in that case. There are no retries that could do a thing twice, with two exceptions: a
//! connection that was closed while idle is opened again before the request is sent again, and a cluster's client follows
//! slots that move and nodes that hang up.
//!
//! The connection is opened by the first call and shared by all. Where it breaks, the next call opens another; where that
//! fails, attempts become rarer, down to one a second, and the calls between them fail at once. A peer that vanished without
//! a word is given up after a second of silence, a master that became a replica when it says so.
//!
//! # Servers
//!
//! Redis from 5 on, or Valkey; it is tested with Redis 7.0. Alone, behind sentinels ([`Redis::sentinel`]) or as a cluster
//! (`Redis::cluster`). The user needs `+evalsha +eval`, what the scripts do, and, behind sentinels, `+role`.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `cluster` | `Redis::cluster` |
//! | `tls` | `rediss://`, trusting the web's certificate authorities or your own |
//! | `testing` | servers for tests, started and stopped, paused and emptied |

mod builder;
mod client;
mod error;
mod link;
mod script;
#[cfg(feature = "testing")]
pub mod testing;
mod topology;

pub use builder::RedisBuilder;
pub use client::{Redis, key_part};
pub use error::RedisError;
pub use script::Script;
