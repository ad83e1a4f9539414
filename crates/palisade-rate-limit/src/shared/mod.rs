//! The client side of a store that several machines share: cache, leases, timeouts, breaker and refunds.

mod ask;
mod breaker;
mod cache;
mod client;
mod digest;
mod receipt;
mod refunds;
mod settings;
mod stats;

pub(crate) use self::{
    breaker::Node,
    cache::Cached,
    client::{Failure, StoreClient, StoreRequest, nanos, refused, standings},
    receipt::Receipt,
    settings::Limit,
};
pub use self::{settings::SharedStore, stats::StoreStats};
