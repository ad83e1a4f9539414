//! Private keys. Each backend is a feature with the same functions; with both, AWS-LC signs.

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc")))]
mod rust_crypto;

#[cfg(feature = "aws-lc")]
pub(super) use aws_lc::Signer;
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc")))]
pub(super) use rust_crypto::Signer;

/// The container of a private key in DER.
#[cfg(feature = "_public-keys")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// PKCS #8 (RFC 5208, RFC 5958).
    Pkcs8,
    /// RSAPrivateKey (RFC 8017) or ECPrivateKey (RFC 5915).
    Own,
}

/// The numbers of a private key, as a JWK has them.
#[cfg(feature = "_public-keys")]
pub(super) enum PrivateNumbers {
    /// The RSAPrivateKey (RFC 8017, appendix A.1.2) in DER.
    #[cfg_attr(not(feature = "aws-lc"), allow(dead_code))]
    Rsa(palisade_core::Secret),
    /// The scalar or seed, and the point (SEC 1, uncompressed) or public key.
    Curve { d: palisade_core::Secret, public: Vec<u8> },
}
