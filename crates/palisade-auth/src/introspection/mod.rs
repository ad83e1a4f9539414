//! Opaque tokens, which the issuer is asked about (RFC 7662).
//!
//! [`Introspection`] is the policy. `answers` is the memory of answers, `question` the request to the issuer, `client` our
//! authentication in it.

mod answers;
mod builder;
mod client;
mod policy;
mod question;
#[cfg(feature = "testing")]
mod test_issuer;

pub use builder::IntrospectionBuilder;
pub use policy::Introspection;
#[cfg(feature = "testing")]
pub use test_issuer::TestIssuer;
