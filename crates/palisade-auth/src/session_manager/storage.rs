use std::{fmt, time::Duration};

use palisade_core::{BoxError, BoxFuture, syntax::LowerHex};
use sha2::{Digest, Sha256};

/// The greatest number of sessions of one subject: more than the devices of one person.
pub(super) const MAX_PER_SUBJECT: usize = 32;

/// Where a [`SessionManager`](super::SessionManager) keeps its sessions: [`InMemorySessions`](super::InMemorySessions), or
#[cfg_attr(
    feature = "redis",
    doc = "[`RedisSessions`](super::RedisSessions), or a database of yours."
)]
#[cfg_attr(
    not(feature = "redis"),
    doc = "`RedisSessions` (feature `redis`), or a database of yours."
)]
///
/// A storage never sees a token, only its [hash](SessionId): a reader of the database cannot use what is in it. An error
/// means that it could not tell, and the request is rejected with 503.
pub trait SessionStorage: Send + Sync + 'static {
    /// Stores a new session.
    fn insert(&self, session: NewSession) -> BoxFuture<Result<(), BoxError>>;

    /// Returns the data of a session that has not expired, and lets it expire `idle` from now, but never after the
    /// [end](NewSession::ends_in) that it was created with.
    fn find(&self, id: SessionId, idle: Duration) -> BoxFuture<Result<Option<String>, BoxError>>;

    /// Removes a session. One that does not exist is no error.
    fn remove(&self, id: SessionId) -> BoxFuture<Result<(), BoxError>>;

    /// Removes all sessions of a [subject](NewSession::subject) that were inserted before the call. A session that was inserted
    /// during the call is removed too, unless the insertion ends after the call: [`SessionManager::renew`] relies on that.
    ///
    /// [`SessionManager::renew`]: super::SessionManager::renew
    fn remove_all(&self, subject: &str) -> BoxFuture<Result<(), BoxError>>;
}

/// A session to be stored.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewSession {
    /// The hash of its token.
    pub id: SessionId,
    /// The owner of the session: a hash of issuer and subject, in hexadecimal digits.
    pub subject: String,
    /// The claims and the principal, as JSON.
    pub data: String,
    /// The time without a request after which it expires.
    pub idle: Duration,
    /// The time after which it expires in any case.
    pub ends_in: Duration,
}

/// Shows no claims.
impl fmt::Debug for NewSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSession")
            .field("id", &self.id)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// The name of a session in a [`SessionStorage`]: the SHA-256 of its token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 32]);

impl SessionId {
    pub(super) fn of_token(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&LowerHex(&self.0), f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names a subject in a storage. The length of the issuer keeps `("a", "bc")` apart from `("ab", "c")`.
pub(super) fn subject_id(issuer: &str, subject: &str) -> String {
    let mut hash = Sha256::new();
    hash.update((issuer.len() as u64).to_be_bytes());
    hash.update(issuer);
    hash.update(subject);
    SessionId(hash.finalize().into()).to_string()
}
