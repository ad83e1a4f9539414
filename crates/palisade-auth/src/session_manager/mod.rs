//! Sessions that this service begins and ends itself.

mod builder;
mod cookie;
mod manager;
mod memory;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod storage;

pub use builder::SessionManagerBuilder;
pub use cookie::SameSite;
pub use manager::SessionManager;
pub use memory::InMemorySessions;
#[cfg(feature = "redis")]
pub use redis::RedisSessions;
pub use storage::{NewSession, SessionId, SessionStorage};
