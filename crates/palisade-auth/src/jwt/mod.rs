//! Bearer tokens: RFC 6750 on the outside, RFC 7515 and RFC 7519 on the inside.

mod builder;
mod claims;
mod no_duplicates;
mod policy;
mod token;

pub use builder::JwtBuilder;
pub use policy::Jwt;
