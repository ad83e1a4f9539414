//! Opaque tokens, which the issuer is asked about (RFC 7662).
//!
//! [`Introspection`] is the policy. `answers` stores answers, `state` combines them with the questions in progress, `outage`
//! tells whether the issuer answers at all, `question` is a question and its answer, and `client` our authentication in it.

mod answers;
mod builder;
mod client;
mod outage;
mod policy;
mod question;
mod state;
#[cfg(feature = "testing")]
mod test_issuer;

pub use builder::IntrospectionBuilder;
pub use policy::Introspection;
#[cfg(feature = "testing")]
pub use test_issuer::TestIssuer;
