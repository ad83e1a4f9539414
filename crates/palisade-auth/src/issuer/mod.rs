//! Issues tokens, and publishes the keys that verify them.

mod backend;
mod builder;
mod error;
mod issued_token;
mod key_ring;
mod key_set_service;
mod new_token;
mod private_jwk;
mod signing_key;
mod token_issuer;

pub use builder::TokenIssuerBuilder;
pub use error::IssueError;
pub use issued_token::IssuedToken;
pub use key_set_service::KeySetService;
pub use new_token::NewToken;
pub use signing_key::SigningKey;
pub use token_issuer::TokenIssuer;

#[cfg(all(test, feature = "_public-keys"))]
mod tests;
