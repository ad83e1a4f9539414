use std::{fmt, sync::Arc};

use http::Extensions;
use palisade_core::Principal;

use crate::sender::Confirmation;

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
pub struct Identity<C> {
    claims: Arc<C>,
    principal: Principal,
    confirmation: Option<Arc<Confirmation>>,
}

impl<C> Identity<C> {
    /// An identity, for an authentication of your own and for tests.
    pub fn new(claims: C, principal: Principal) -> Self {
        Self { claims: Arc::new(claims), principal, confirmation: None }
    }

    /// Says by which scheme the caller authenticated, unless the principal says so already.
    pub(crate) fn authenticated_by(mut self, method: &'static str) -> Self {
        if self.principal.method().is_empty() {
            self.principal = self.principal.authenticated_by(method);
        }
        self
    }

    /// Sets the key of the client that the token is bound to.
    pub(crate) fn bound_to(mut self, confirmation: Option<Confirmation>) -> Self {
        self.confirmation = confirmation.map(Arc::new);
        self
    }

    /// Returns the key that the client must prove to have, if the token is bound to one.
    pub(crate) fn confirmation(&self) -> Option<&Confirmation> {
        self.confirmation.as_deref()
    }

    /// The claims.
    pub fn claims(&self) -> &C {
        &self.claims
    }

    /// Who it is, in the terms that roles and limits use.
    pub fn principal(&self) -> &Principal {
        &self.principal
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
        Self {
            claims: Arc::clone(&self.claims),
            principal: self.principal.clone(),
            confirmation: self.confirmation.clone(),
        }
    }
}

/// Shows who it is and not the claims, which may hold anything.
impl<C> fmt::Debug for Identity<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.principal).finish()
    }
}
