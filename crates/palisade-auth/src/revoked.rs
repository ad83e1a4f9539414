use std::{fmt, future::Future, sync::Arc};

use http::{HeaderName, request, response};
use palisade_core::{ApiError, BoxError};

use crate::{
    Attempt, Authenticate, Identity,
    authenticate::{Pending, policy_of},
};

/// An authentication that some identities do not pass; see [`Authenticate::revoked`].
pub struct Revoked<A, F> {
    authenticate: A,
    is_revoked: Arc<F>,
}

/// The same as [`Revoked`], where somebody has to be asked; see [`Authenticate::revoked_later`].
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
        match self.authenticate.authenticate(request) {
            Attempt::Now(Ok(identity)) if (self.is_revoked)(&identity) => {
                Attempt::Now(Err(revoked(self.invalid())))
            }
            Attempt::Later(pending) => {
                let (is_revoked, refusal) = (Arc::clone(&self.is_revoked), self.invalid());
                Attempt::Later(Pending::new(async move {
                    let identity = pending.outcome().await?;
                    if is_revoked(&identity) { Err(revoked(refusal)) } else { Ok(identity) }
                }))
            }
            attempt => attempt,
        }
    }

    fn invalid(&self) -> ApiError {
        self.authenticate.invalid()
    }

    fn fields(&self) -> Vec<HeaderName> {
        self.authenticate.fields()
    }

    fn leave_identity(&self, identity: Identity<A::Claims>, request: &mut request::Parts) {
        self.authenticate.leave_identity(identity, request);
    }

    fn hide_credentials(&self, request: &mut request::Parts) {
        self.authenticate.hide_credentials(request);
    }

    fn mark_response(&self, response: &mut response::Parts) {
        self.authenticate.mark_response(response);
    }
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
        match self.authenticate.authenticate(request) {
            Attempt::Now(Ok(identity)) => self.ask(async move { Ok(identity) }),
            Attempt::Later(pending) => self.ask(pending.outcome()),
            refused => refused,
        }
    }

    fn invalid(&self) -> ApiError {
        self.authenticate.invalid()
    }

    fn fields(&self) -> Vec<HeaderName> {
        self.authenticate.fields()
    }

    fn leave_identity(&self, identity: Identity<A::Claims>, request: &mut request::Parts) {
        self.authenticate.leave_identity(identity, request);
    }

    fn hide_credentials(&self, request: &mut request::Parts) {
        self.authenticate.hide_credentials(request);
    }

    fn mark_response(&self, response: &mut response::Parts) {
        self.authenticate.mark_response(response);
    }
}

policy_of!([A F] RevokedLater<A, F>);

impl<A, F> RevokedLater<A, F> {
    /// Asks about an identity once it is there.
    fn ask<Fut, E>(
        &self,
        identity: impl Future<Output = Result<Identity<A::Claims>, ApiError>> + Send + 'static,
    ) -> Attempt<A::Claims>
    where
        A: Authenticate,
        F: Fn(Identity<A::Claims>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let is_revoked = Arc::clone(&self.is_revoked);
        let refusal = self.authenticate.invalid();
        Attempt::Later(Pending::new(async move {
            let identity = identity.await?;
            match is_revoked(identity.clone()).await {
                Ok(false) => Ok(identity),
                Ok(true) => Err(revoked(refusal)),
                Err(error) => Err(ApiError::unavailable().with_source(error)),
            }
        }))
    }
}

/// What was good is not any more, and the client hears no more than of any other that is not good.
fn revoked(refusal: ApiError) -> ApiError {
    tracing::debug!(target: "palisade::auth", "an identity was refused: revoked");
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
