use std::{fmt, future::Future, sync::Arc};

use http::request;
use palisade_core::{ApiError, BoxError};

use crate::{
    Attempt, Authenticate, Identity,
    authenticate::{Pending, forward_to_inner, policy_of},
};

/// An authentication that rejects revoked identities; see [`Authenticate::revoked`].
pub struct Revoked<A, F> {
    authenticate: A,
    is_revoked: Arc<F>,
}

/// Like [`Revoked`], with an answer that has to be fetched; see [`Authenticate::revoked_later`].
pub struct RevokedLater<A, F> {
    authenticate: A,
    is_revoked: Arc<F>,
}

impl<A, F> Authenticate for Revoked<A, F>
where
    A: Authenticate,
    F: Fn(&Identity<A::Claims>) -> bool + Send + Sync + 'static,
{
    type Claims = A::Claims;

    fn authenticate(&self, request: &request::Parts) -> Attempt<A::Claims> {
        self.check(self.authenticate.authenticate(request))
    }

    fn verify_credential(&self, credential: &str) -> Attempt<A::Claims> {
        self.check(self.authenticate.verify_credential(credential))
    }

    fn leave_identity(&self, identity: Identity<A::Claims>, request: &mut request::Parts) {
        self.authenticate.leave_identity(identity, request);
    }

    forward_to_inner!();
}

policy_of!([A F] Revoked<A, F>);

impl<A, F, Fut, E> Authenticate for RevokedLater<A, F>
where
    A: Authenticate,
    F: Fn(Identity<A::Claims>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<bool, E>> + Send + 'static,
    E: Into<BoxError>,
{
    type Claims = A::Claims;

    fn authenticate(&self, request: &request::Parts) -> Attempt<A::Claims> {
        self.check(self.authenticate.authenticate(request))
    }

    fn verify_credential(&self, credential: &str) -> Attempt<A::Claims> {
        self.check(self.authenticate.verify_credential(credential))
    }

    fn leave_identity(&self, identity: Identity<A::Claims>, request: &mut request::Parts) {
        self.authenticate.leave_identity(identity, request);
    }

    forward_to_inner!();
}

policy_of!([A F] RevokedLater<A, F>);

impl<A, F> Revoked<A, F>
where
    A: Authenticate,
    F: Fn(&Identity<A::Claims>) -> bool + Send + Sync + 'static,
{
    /// Rejects an identity that is revoked.
    fn check(&self, attempt: Attempt<A::Claims>) -> Attempt<A::Claims> {
        match attempt {
            Attempt::Now(Ok(identity)) if (self.is_revoked)(&identity) => {
                Attempt::Now(Err(revoked(self.authenticate.invalid())))
            }
            Attempt::Later(_) => {
                let is_revoked = Arc::clone(&self.is_revoked);
                let refusal = self.authenticate.invalid();
                attempt.and_then(move |identity| {
                    if is_revoked(&identity) { Err(revoked(refusal)) } else { Ok(identity) }
                })
            }
            attempt => attempt,
        }
    }
}

impl<A, F> RevokedLater<A, F> {
    /// Rejects an identity that is revoked, when the answer is known.
    fn check<Fut, E>(&self, attempt: Attempt<A::Claims>) -> Attempt<A::Claims>
    where
        A: Authenticate,
        F: Fn(Identity<A::Claims>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        if matches!(attempt, Attempt::Absent(_) | Attempt::Now(Err(_))) {
            return attempt;
        }
        let is_revoked = Arc::clone(&self.is_revoked);
        let refusal = self.authenticate.invalid();
        Attempt::Later(Pending::new(async move {
            let identity = attempt.outcome().await?;
            match is_revoked(identity.clone()).await {
                Ok(false) => Ok(identity),
                Ok(true) => Err(revoked(refusal)),
                Err(error) => Err(ApiError::unavailable().with_source(error)),
            }
        }))
    }
}

/// Returns the error for a revoked identity. It equals that of any other invalid identity.
fn revoked(refusal: ApiError) -> ApiError {
    log_rejection!("an identity was rejected: revoked");
    refusal
}

impl<A, F> Revoked<A, F> {
    pub(crate) fn new(authenticate: A, is_revoked: F) -> Self {
        Self { authenticate, is_revoked: Arc::new(is_revoked) }
    }
}

impl<A, F> RevokedLater<A, F> {
    pub(crate) fn new(authenticate: A, is_revoked: F) -> Self {
        Self { authenticate, is_revoked: Arc::new(is_revoked) }
    }
}

impl<A: Clone, F> Clone for Revoked<A, F> {
    fn clone(&self) -> Self {
        Self { authenticate: self.authenticate.clone(), is_revoked: Arc::clone(&self.is_revoked) }
    }
}

impl<A: Clone, F> Clone for RevokedLater<A, F> {
    fn clone(&self) -> Self {
        Self { authenticate: self.authenticate.clone(), is_revoked: Arc::clone(&self.is_revoked) }
    }
}

impl<A: fmt::Debug, F> fmt::Debug for Revoked<A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Revoked").field(&self.authenticate).finish()
    }
}

impl<A: fmt::Debug, F> fmt::Debug for RevokedLater<A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RevokedLater").field(&self.authenticate).finish()
    }
}
