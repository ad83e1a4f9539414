//! API keys: `prefix_id.secret`, found by their id and compared by a hash of their secret.

mod builder;
mod format;
mod generate;
mod policy;
mod record;
mod store;

pub use builder::ApiKeysBuilder;
pub use generate::NewApiKey;
pub use policy::ApiKeys;
pub use record::{ApiKey, ApiKeyRecord};
pub use store::{ApiKeyLookup, ApiKeyStore, InMemoryApiKeys};
