use std::{fmt, sync::Arc};

use http::Extensions;
use palisade_core::Principal;

use crate::sender::Confirmation;

/// Proof of authentication: the caller's claims, in a type of the user, and the [`Principal`] that is made of them.
///
/// Authentication leaves it in the request's extensions. It is cheap to clone. On axum it is also an extractor (feature
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
/// let identity = Identity::<&str>::from_extensions(&extensions).unwrap();
/// assert_eq!(*identity.claims(), "any claims");
/// assert!(identity.principal().has_role("admin"));
/// ```
pub struct Identity<C> {
    claims: Arc<C>,
    principal: Principal,
    confirmation: Option<Arc<Confirmation>>,
    /// The DPoP proof that was used up for it.
    proof: Option<Arc<str>>,
}

impl<C> Identity<C> {
    /// Returns an identity, for an authentication of your own and for tests.
    pub fn new(claims: C, principal: Principal) -> Self {
        Self { claims: Arc::new(claims), principal, confirmation: None, proof: None }
    }

    /// Sets the method by which the caller authenticated, unless the principal has one.
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

    /// Sets the DPoP proof that was used up for this identity.
    #[cfg(feature = "_public-keys")]
    pub(crate) fn proven_by(mut self, proof: Arc<str>) -> Self {
        self.proof = Some(proof);
        self
    }

    /// Returns the DPoP proof that was used up for this identity.
    #[cfg(feature = "_public-keys")]
    pub(crate) fn proof(&self) -> Option<&Arc<str>> {
        self.proof.as_ref()
    }

    /// Returns the key that the client must prove to have, if the token is bound to one.
    pub(crate) fn confirmation(&self) -> Option<&Confirmation> {
        self.confirmation.as_deref()
    }

    /// Returns the claims.
    pub fn claims(&self) -> &C {
        &self.claims
    }

    /// Returns the caller, as roles and limits see it.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl<C: Send + Sync + 'static> Identity<C> {
    /// Returns the identity of a request, or `None` if no authentication with claims of type `C` accepted it.
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
}

impl<C> Clone for Identity<C> {
    fn clone(&self) -> Self {
        Self {
            claims: Arc::clone(&self.claims),
            principal: self.principal.clone(),
            confirmation: self.confirmation.clone(),
            proof: self.proof.clone(),
        }
    }
}

/// Shows the principal and not the claims, which may contain secrets.
impl<C> fmt::Debug for Identity<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.principal).finish()
    }
}
