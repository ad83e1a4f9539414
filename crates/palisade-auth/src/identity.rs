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
    /// The request came with a DPoP proof.
    has_proof: bool,
}

impl<C> Identity<C> {
    /// Returns an identity, for an authentication of your own and for tests.
    pub fn new(claims: C, principal: Principal) -> Self {
        Self { claims: Arc::new(claims), principal, confirmation: None, has_proof: false }
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

    /// Records that the client has proven possession of its key (DPoP).
    #[cfg(feature = "_public-keys")]
    pub(crate) fn with_proof(mut self) -> Self {
        self.has_proof = true;
        self
    }

    pub(crate) fn has_proof(&self) -> bool {
        self.has_proof
    }

    /// Returns the same caller, authenticated in the same way, with other claims.
    pub(crate) fn with_claims<T>(&self, claims: T) -> Identity<T> {
        Identity {
            claims: Arc::new(claims),
            principal: self.principal.clone(),
            confirmation: self.confirmation.clone(),
            has_proof: self.has_proof,
        }
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
            has_proof: self.has_proof,
        }
    }
}

/// Shows the principal and not the claims, which may contain secrets.
impl<C> fmt::Debug for Identity<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.principal).finish()
    }
}
