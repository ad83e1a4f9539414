//! Real servers for tests: started on a free port of the loopback interface, in a directory of their own, and ended when they
//! are dropped.
//!
//! They need `redis-server` (or `valkey-server`) on the path, or the path of a server in `PALISADE_TEST_REDIS`. Servers with TLS
//! are started from `PALISADE_TEST_REDIS_TLS` if that is set, because some builds have no TLS. If a server is missing or has
//! no TLS, `start` says so loudly and returns `None`, so that a test can go on without; with `CI=true` in the environment it
//! panics.
//!
//! ```no_run
//! use palisade_redis::{Redis, testing::RedisServer};
//!
//! let Some(mut server) = RedisServer::start() else { return };
//! let redis = Redis::builder(server.url()).build().unwrap();
//!
//! server.pause(); // it is there and does not answer
//! server.resume();
//! server.stop(); // its port refuses connections
//! server.restart_empty(); // on the same port
//! ```

mod cluster;
mod process;
mod proxy;
mod sentinel;
mod server;

pub use cluster::RedisCluster;
pub use proxy::SlowProxy;
pub use sentinel::RedisSentinel;
pub use server::RedisServer;
