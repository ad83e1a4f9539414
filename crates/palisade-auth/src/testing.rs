//! Tokens for tests and examples. A service that issues tokens has a `TokenIssuer` (feature `issuer`).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use palisade_core::Secret;
use serde::Serialize;
use sha2::Sha256;

pub use crate::decided::DecisionProbe;
#[cfg(feature = "introspection")]
pub use crate::introspection::OpaqueIssuer;

/// The former name of [`OpaqueIssuer`].
#[cfg(feature = "introspection")]
#[deprecated(
    note = "renamed to `OpaqueIssuer`; `palisade-testing` has a `TestIssuer` of signed and opaque tokens"
)]
pub type TestIssuer = OpaqueIssuer;

/// A token with these claims, signed with HS256.
///
/// ```
/// let token = palisade_auth::testing::sign_hs256("a signing key of at least thirty-two bytes", &[("sub", "ada")]);
/// assert_eq!(token.split('.').count(), 3);
/// ```
///
/// # Panics
///
/// If the claims cannot be written as JSON.
#[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
pub fn sign_hs256(secret: impl Into<Secret>, claims: &impl Serialize) -> String {
    let claims = serde_json::to_vec(claims).expect("claims that can be written as JSON");
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.into().expose())
        .expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
