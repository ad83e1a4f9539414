//! Access tokens in requests: where they are found, by which client they may be used, and how a rejection is reported.
//! [`Jwt`](crate::Jwt) and `Introspection` verify the tokens.

mod check;
mod settings;
mod source;

pub(crate) use check::TokenCheck;
pub(crate) use settings::{TokenSettings, token_setters};
pub(crate) use source::TokenSource;
