//! Access tokens that are bound to a key of the client: by a proof in each request (DPoP, RFC 9449) or by the certificate of
//! the connection (RFC 8705).

mod certificate;
mod check;
mod confirmation;
#[cfg(feature = "_public-keys")]
pub(crate) mod dpop;

pub use certificate::{ClientCertificates, PeerCertificate};
pub(crate) use check::{Scheme, SenderCheck, SenderSettings};
pub(crate) use confirmation::Confirmation;
#[cfg(all(feature = "redis", feature = "_public-keys"))]
pub use dpop::RedisDpopReplays;
#[cfg(feature = "_public-keys")]
pub use dpop::{Dpop, DpopReplays, InMemoryDpopReplays};

/// Prepares a request for checks by several policies.
pub(crate) fn prepare(request: &mut http::request::Parts) {
    #[cfg(feature = "_public-keys")]
    dpop::UsedProofs::prepare(request);
    #[cfg(not(feature = "_public-keys"))]
    let _ = request;
}
