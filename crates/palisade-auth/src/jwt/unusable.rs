/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusable(pub(crate) &'static str);

/// A public key in a build that can verify no public key's signatures.
#[cfg(any(not(feature = "_public-keys"), feature = "jwks"))]
pub(super) const NO_BACKEND: Unusable =
    Unusable("no backend verifies its signatures: enable the feature `aws-lc` or `rust-crypto`");

pub(super) const NOT_FOR_SIGNATURES: Unusable = Unusable("it is not for verifying signatures");
