use std::{fmt, sync::Arc};

use http::Extensions;
use palisade_core::Principal;

/// Proof that authentication ran: the caller's claims, in the type you chose, and the [`Principal`] made of them.
///
/// It is in the request's extensions on every host, and cheap to clone. On axum it is also an extractor (feature
/// `axum`).
///
/// ```
/// use palisade_auth::Identity;
/// use palisade_core::Principal;
///
/// let identity = Identity::new("any claims", Principal::new("ada").with_roles(["admin"]));
/// let mut extensions = http::Extensions::new();
/// extensions.insert(identity);
///
/// let identity = Identity::<&str>::of(&extensions).unwrap();
/// assert_eq!(*identity.claims(), "any claims");
/// assert!(identity.principal().has_role("admin"));
/// ```
pub struct Identity<C>(Arc<Inner<C>>);

struct Inner<C> {
    claims: C,
    principal: Principal,
}

impl<C> Identity<C> {
    /// An identity, for an authentication of your own and for tests.
    pub fn new(claims: C, principal: Principal) -> Self {
        Self(Arc::new(Inner { claims, principal }))
    }

    /// The claims.
    pub fn claims(&self) -> &C {
        &self.0.claims
    }

    /// Who it is, in the terms that roles and limits use.
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }
}

impl<C: Send + Sync + 'static> Identity<C> {
    /// Finds the identity of a request. `None`: no authentication with claims of type `C` let it pass.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
}

impl<C> Clone for Identity<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Shows who it is and not the claims, which may hold anything.
impl<C> fmt::Debug for Identity<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.principal).finish()
    }
}
