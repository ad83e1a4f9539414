use http::request;
use palisade_core::{ApiError, Principal};

use super::Key;

/// Counts by caller: the issuer and the subject of the [`Principal`] that authentication has set.
///
/// ```
/// use palisade_core::Principal;
/// use palisade_rate_limit::{ByPrincipal, Key};
///
/// let (mut head, ()) = http::Request::new(()).into_parts();
/// head.extensions.insert(Principal::new("ada").issued_by("https://issuer.example"));
/// assert_eq!(ByPrincipal.key(&head).unwrap(), (&b"https://issuer.example"[..], &b"ada"[..]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByPrincipal;

const NO_PRINCIPAL: &str = "the request has no Principal. Put the limit inside authentication: the authentication \
     layer must be the outer one";

impl ByPrincipal {
    /// Returns the key of a principal, for calls without a request such as [`check`](crate::RateLimit::check).
    ///
    /// ```
    /// # use palisade_core::Principal;
    /// # use palisade_rate_limit::ByPrincipal;
    /// assert_eq!(ByPrincipal::key_of(&Principal::new("ada")), (&b""[..], &b"ada"[..]));
    /// ```
    pub fn key_of(principal: &Principal) -> (&[u8], &[u8]) {
        (principal.issuer().as_bytes(), principal.subject().as_bytes())
    }
}

impl Key for ByPrincipal {
    /// Issuer and subject, as byte slices because these are hashed with their length.
    type Of<'r> = (&'r [u8], &'r [u8]);

    fn key<'r>(&self, request: &'r request::Parts) -> Result<Self::Of<'r>, ApiError> {
        let principal: &Principal = request
            .extensions
            .get()
            .ok_or_else(|| ApiError::internal().with_source(NO_PRINCIPAL))?;
        Ok(Self::key_of(principal))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn issuer_and_subject_are_hashed_with_their_lengths() {
        let random = RandomState::new();
        let hash = |issuer: &str, subject: &str| {
            let (mut head, ()) = http::Request::new(()).into_parts();
            head.extensions.insert(Principal::new(subject).issued_by(issuer));
            random.hash_one(ByPrincipal.key(&head).unwrap())
        };
        assert_ne!(hash("a:b", "c"), hash("a", "b:c"));
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
        assert_ne!(hash("", "ab"), hash("ab", ""));
        assert_eq!(hash("ab", "c"), hash("ab", "c"));
    }
}
