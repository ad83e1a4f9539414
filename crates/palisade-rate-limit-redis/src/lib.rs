//! Rate limits that several machines share: a [`Store`](palisade_rate_limit::Store) in Redis or Valkey.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use palisade_rate_limit::{Demand, Fit, Quota, Store};
//! use palisade_rate_limit_redis::{Redis, RedisStore};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let store = RedisStore::new(Redis::builder("redis://127.0.0.1:6379").build()?);
//!
//! // A limit asks: does this request fit both quotas?
//! let quotas: Arc<[Quota]> = Arc::new([
//!     Quota::per(10, Duration::from_secs(1)).named("burst"),
//!     Quota::per(1_000, Duration::from_secs(3600)).named("hourly"),
//! ]);
//! let demand = Demand { limit: "api".into(), key: [0; 16], quotas, cost: 1, most: 1, ban: None };
//! let verdict = store.charge(demand).await?;
//! match verdict.charged {
//!     Some(_) => println!("{} left of the hour", verdict.readings[1].remaining),
//!     None => {
//!         for reading in verdict.readings {
//!             if let Fit::After(wait) = reading.fit {
//!                 println!("try again in {wait:?}");
//!             }
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a decision is
//!
//! One script on the server, which checks all quotas of the demand, charges all of them or none, and sets the expiry, while
//! the server does nothing else: of a thousand requests at once, from however many machines, a limit of a hundred admits a
//! hundred. It reads the server's clock, so that the machines need not agree on the time, and counts in integers that doubles
//! hold exactly. Waits are exact to the millisecond: a request that waits so long is admitted, if nothing else comes, and a
//! millisecond earlier it would not have been.
//!
//! | algorithm | a field holds | bytes |
//! | --- | --- | --- |
//! | sliding window | the number of the window, and two counts | 14 |
//! | fixed window | the number of the window, and a count | 10 |
//! | day or month | when the day or month began, and a count | 10 |
//! | strict | the number of the sub-window, and nine counts | 42 |
//! | GCRA | a moment, the debt ahead of it, and the limit | 18 |
//! | exact log | the time of each request, for limits up to 1,000 | 6 for each |
//!
//! Windows are whole milliseconds. Those of the sliding and the fixed window begin at multiples of their length since the Unix
//! epoch. Limit and window have to multiply to at most 2^51 milliseconds, 26 million a day, where the algorithm multiplies them
//! (the sliding window and GCRA); a larger product is an error when the limit is built, and never rounded.
//!
//! # Keys
//!
//! `prefix:limit:{digest}`, such as `palisade:api:{00112233445566778899aabbccddeeff}`: one hash for each client, with a field
//! for each quota. The names of prefix and limit are percent-encoded, so that no two names make the same key. A client is one
//! key of one slot, so a decision about any number of quotas is one step also while the slot is being moved.
//!
//! A field is named by the algorithm, the window and a number for quotas that have both in common, such as `s3600000:0`. So a
//! limit can be raised or lowered while it is in use, a client may change its tier, and a quota whose window changes starts
//! with no count. `b` is the end of a block, `n` counts refusals for a ban, and `x` is the end of the key.
//!
//! Every key has an expiry: a second after the last of its fields means nothing any more, with GCRA at most twice as late and
//! a second more. Refused requests write nothing
//! unless the limit has a ban, and looks never do. A value that is not ours, because another program wrote it, counts as none and is replaced.
//!
//! # When the server does not answer
//!
//! The decision is an error within the [connection's time-outs](palisade_redis), and the limit does what it declares for
//! that case. Nothing is charged twice. [`RedisStore::ready`] connects before the first request comes.
//!
//! The counts are lost with the server: all windows of a server that comes back empty start over, and a replica that takes
//! over does not know the charges that had not reached it; `min-replicas-to-write` bounds how many these are. A server that
//! evicts keys under memory pressure forgets limits: give it `maxmemory-policy noeviction`, and a limit does what it declares
//! when memory is short. After a failover to a machine whose clock is behind, time stands still for a key until the clock
//! has caught up with what was written, so that nothing is granted twice.
//!
//! # Refunds
//!
//! A refund leaves the window that it was charged in, and is nothing if that is over. With GCRA, what has flowed off since the
//! charge is over: as much as the time that passed is kept back. A refund that is repeated counts once: it leaves a key
//! `prefix:limit:{digest}:r:id` for two minutes.
//!
//! # Interventions
//!
//! [`intervene`](palisade_rate_limit::Store::intervene) resets, blocks or unblocks a key in one step, and publishes its digest
//! on `prefix:changes`. Machines that are connected then forget what they remember of the key.
//!
//! # Servers
//!
//! Redis from 5 on, or Valkey, [alone](Redis::builder), [behind sentinels](Redis::sentinel) or as a cluster
//! (`Redis::cluster`). The user needs `+evalsha +eval +hmget +hget +hset +hdel +pexpire +set +del +time` on `~palisade:*`, and
//! what [palisade-redis](palisade_redis) needs.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `cluster` | `Redis::cluster` |
//! | `tls` | `rediss://`, trusting the web's certificate authorities or your own |
//! | `testing` | servers for tests, started and stopped, paused and emptied, and told the time |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod exact;
mod key;
mod script;
mod store;

#[cfg(feature = "testing")]
#[doc(no_inline)]
pub use palisade_redis::testing;
#[doc(no_inline)]
pub use palisade_redis::{Redis, RedisBuilder};
pub use store::RedisStore;
