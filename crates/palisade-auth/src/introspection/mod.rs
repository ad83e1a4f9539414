//! Opaque tokens, which the issuer is asked about (RFC 7662).
//!
//! [`Introspection`] is the policy. `answers` stores answers, `state` combines them with the questions in progress, `outage`
//! tells whether the issuer answers at all, `question` is a question and its answer, and `client` our authentication in it.

mod answers;
mod builder;
mod client;
#[cfg(feature = "testing")]
mod opaque_issuer;
mod outage;
mod policy;
mod question;
mod state;

pub use builder::IntrospectionBuilder;
#[cfg(feature = "testing")]
pub use opaque_issuer::OpaqueIssuer;
pub use policy::Introspection;
