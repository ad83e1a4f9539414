//! Bearer tokens: RFC 6750 on the outside, RFC 7515 and RFC 7519 on the inside.

mod algorithm;
#[cfg(feature = "_public-keys")]
mod backend;
mod base64url;
mod builder;
mod cache;
mod claim_path;
mod claims;
mod claims_type;
mod fault;
mod issuer;
mod issuer_keys;
mod issuer_setters;
mod issuer_settings;
mod jwk;
mod key;
mod key_set;
mod keys;
mod members;
mod policy;
#[cfg(feature = "_public-keys")]
mod public_key;
mod registered;
mod token;
mod unusable;
mod validity;
mod verify;

#[cfg(feature = "issuer")]
pub(crate) use self::{algorithm::Family, jwk::MAX_KID, unusable::Unusable};
#[cfg(feature = "_public-keys")]
pub(crate) use self::{jwk::Jwk, members::check as check_members, public_key::PublicKey};
pub use algorithm::Algorithm;
pub use builder::JwtBuilder;
pub(crate) use cache::{Entry, ThreadEntry, Verified};
#[cfg(feature = "introspection")]
pub(crate) use claims::Expectations;
#[cfg(feature = "introspection")]
pub(crate) use claims_type::check as check_claims_type;
#[cfg(feature = "introspection")]
pub(crate) use fault::Fault;
pub use issuer::Issuer;
#[cfg(feature = "introspection")]
pub(crate) use issuer_setters::issuer_setters;
#[cfg(feature = "introspection")]
pub(crate) use issuer_settings::IssuerSettings;
#[cfg(any(feature = "_public-keys", feature = "issuer"))]
pub(crate) use key::VerifyingKey;
#[cfg(feature = "jwks")]
pub(crate) use key_set::KeySet;
pub use keys::Keys;
pub use policy::Jwt;
#[cfg(feature = "introspection")]
pub(crate) use token::MAX_TOKEN;
#[cfg(feature = "introspection")]
pub(crate) use validity::Validity;
