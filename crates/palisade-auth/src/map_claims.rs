use std::{fmt, sync::Arc};

use http::request;

use crate::{
    Attempt, Authenticate,
    authenticate::{forward_to_inner, policy_of},
};

/// An authentication with claims of another type; see [`Authenticate::map_claims`].
pub struct MapClaims<A, F> {
    authenticate: A,
    convert: Arc<F>,
}

impl<A, F> MapClaims<A, F> {
    pub(crate) fn new(authenticate: A, convert: F) -> Self {
        Self { authenticate, convert: Arc::new(convert) }
    }
}

impl<A, F, T> Authenticate for MapClaims<A, F>
where
    A: Authenticate,
    F: Fn(&A::Claims) -> T + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Claims = T;

    fn authenticate(&self, request: &request::Parts) -> Attempt<T> {
        self.converted(self.authenticate.authenticate(request))
    }

    fn verify_credential(&self, credential: &str) -> Attempt<T> {
        self.converted(self.authenticate.verify_credential(credential))
    }

    forward_to_inner!();
}

policy_of!([A F] MapClaims<A, F>);

impl<A, F> MapClaims<A, F> {
    fn converted<T>(&self, attempt: Attempt<A::Claims>) -> Attempt<T>
    where
        A: Authenticate,
        F: Fn(&A::Claims) -> T + Send + Sync + 'static,
    {
        let convert = Arc::clone(&self.convert);
        attempt.and_then(move |identity| Ok(identity.with_claims(convert(identity.claims()))))
    }
}

impl<A: Clone, F> Clone for MapClaims<A, F> {
    fn clone(&self) -> Self {
        Self { authenticate: self.authenticate.clone(), convert: Arc::clone(&self.convert) }
    }
}

impl<A: fmt::Debug, F> fmt::Debug for MapClaims<A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MapClaims").field(&self.authenticate).finish()
    }
}
