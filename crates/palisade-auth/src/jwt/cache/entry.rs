use std::sync::Arc;

use palisade_core::Principal;

use crate::{jwt::validity::Validity, sender::Confirmation};

/// What was changed since a token was verified: the keys were replaced, or all tokens were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::jwt) struct Generation {
    pub(in crate::jwt) keys: u64,
    pub(in crate::jwt) cleared: u64,
}

/// Until when a verified token is remembered, and under which keys.
#[derive(Clone, Copy, Debug)]
pub(in crate::jwt) struct Lease {
    pub(in crate::jwt) generation: Generation,
    /// Seconds since the Unix epoch.
    pub(in crate::jwt) ends: f64,
    /// The times in the token, which are checked on each request.
    pub(in crate::jwt) validity: Validity,
    /// The position of the issuer whose settings apply.
    pub(in crate::jwt) issuer: usize,
}

/// The caller whom a token names.
pub(crate) struct Verified<C> {
    pub(crate) claims: Arc<C>,
    pub(crate) principal: Principal,
    pub(crate) confirmation: Option<Arc<Confirmation>>,
}

/// A verified token and its caller. What a look-up reads is one allocation: each further one is a cache line to wait for.
pub(crate) struct Entry<C, T: ?Sized = [u8]> {
    pub(super) hash: u64,
    pub(in crate::jwt) lease: Lease,
    pub(crate) verified: Verified<C>,
    token_length: usize,
    /// The token, and unused bytes after it.
    token: T,
}

impl<C> Entry<C> {
    /// Returns the caller if the token is too long.
    pub(super) fn new(
        hash: u64,
        token: &[u8],
        verified: Verified<C>,
        lease: Lease,
    ) -> Result<Arc<Self>, Verified<C>> {
        Ok(match token.len() {
            0..=256 => Self::sized::<256>(hash, token, verified, lease),
            257..=384 => Self::sized::<384>(hash, token, verified, lease),
            385..=640 => Self::sized::<640>(hash, token, verified, lease),
            641..=1024 => Self::sized::<1024>(hash, token, verified, lease),
            1025..=2048 => Self::sized::<2048>(hash, token, verified, lease),
            2049..=4096 => Self::sized::<4096>(hash, token, verified, lease),
            _ => return Err(verified),
        })
    }

    fn sized<const N: usize>(
        hash: u64,
        token: &[u8],
        verified: Verified<C>,
        lease: Lease,
    ) -> Arc<Self> {
        let mut bytes = [0; N];
        bytes[..token.len()].copy_from_slice(token);
        Arc::new(Entry { hash, lease, verified, token_length: token.len(), token: bytes })
    }

    pub(super) fn token(&self) -> &[u8] {
        &self.token[..self.token_length]
    }

    pub(super) fn is_for(&self, hash: u64, token: &[u8]) -> bool {
        self.hash == hash && *self.token() == *token
    }
}

/// An entry as one thread uses it. Other threads do not count references here, so that threads with the same token write
/// no memory that they share.
pub(crate) struct ThreadEntry<C> {
    pub(crate) entry: Arc<Entry<C>>,
    pub(crate) principal: Principal,
}

impl<C> ThreadEntry<C> {
    pub(super) fn new(entry: Arc<Entry<C>>) -> Arc<Self> {
        let principal = entry.verified.principal.to_unshared();
        Arc::new(Self { entry, principal })
    }
}
