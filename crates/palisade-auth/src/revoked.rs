use std::{fmt, future::Future, sync::Arc};

use http::{HeaderValue, header, request};
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

impl<A, F> Revoked<A, F> {
    pub(crate) fn new(authenticate: A, is_revoked: F) -> Self {
        Self { authenticate, is_revoked: Arc::new(is_revoked) }
    }
}

impl<A, F> Authenticate for Revoked<A, F>
where
    A: Authenticate,
    F: Fn(&Identity<A::Claims>) -> bool + Send + Sync + 'static,
{
    type Claims = A::Claims;

    fn authenticate(&self, request: &request::Parts) -> Attempt<A::Claims> {
        let is_revoked = Arc::clone(&self.is_revoked);
        self.authenticate.authenticate(request).and_then(move |identity| {
            if is_revoked(&identity) { Err(revoked()) } else { Ok(identity) }
        })
    }
}

policy_of!([A F] Revoked<A, F>);

/// The same as [`Revoked`], where somebody has to be asked; see [`Authenticate::revoked_later`].
pub struct RevokedLater<A, F> {
    authenticate: A,
    is_revoked: Arc<F>,
}

impl<A, F> RevokedLater<A, F> {
    pub(crate) fn new(authenticate: A, is_revoked: F) -> Self {
        Self { authenticate, is_revoked: Arc::new(is_revoked) }
    }
}

impl<A, F, Fut, E> Authenticate for RevokedLater<A, F>
where
    A: Authenticate,
    F: Fn(Identity<A::Claims>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<bool, E>> + Send + 'static,
    E: Into<BoxError>,
{
    type Claims = A::Claims;

    fn authenticate(&self, request: &request::Parts) -> Attempt<A::Claims> {
        let is_revoked = Arc::clone(&self.is_revoked);
        let ask =
            async move |identity: Identity<A::Claims>| match is_revoked(identity.clone()).await {
                Ok(false) => Ok(identity),
                Ok(true) => Err(revoked()),
                Err(error) => Err(ApiError::unavailable().with_source(error)),
            };
        match self.authenticate.authenticate(request) {
            Attempt::Now(Ok(identity)) => {
                Attempt::Later(Pending::new(async move { ask(identity).await }))
            }
            Attempt::Later(pending) => {
                Attempt::Later(Pending::new(async move { ask(pending.outcome().await?).await }))
            }
            refused => refused,
        }
    }
}

policy_of!([A F] RevokedLater<A, F>);

fn revoked() -> ApiError {
    tracing::debug!(target: "palisade::auth", "an identity was refused: revoked");
    let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    ApiError::unauthenticated()
        .with_message("the access token is not valid")
        .with_header(header::WWW_AUTHENTICATE, challenge)
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
