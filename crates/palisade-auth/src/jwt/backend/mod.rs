//! Verifies RSA, ECDSA and EdDSA signatures. Each backend is a feature with the same two functions.

#[cfg(feature = "aws-lc")]
pub(super) mod aws_lc;
#[cfg(all(feature = "rust-crypto", any(test, not(feature = "aws-lc"))))]
pub(super) mod rust_crypto;

/// The backend in use. With both features AWS-LC verifies, because it is several times as fast.
#[cfg(feature = "aws-lc")]
pub(super) use aws_lc::Verifier;
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc")))]
pub(super) use rust_crypto::Verifier;

#[cfg(all(test, feature = "aws-lc", feature = "rust-crypto"))]
mod tests;
#[cfg(test)]
mod vectors;
