use std::{fmt, sync::Arc};

use http::Extensions;
use palisade_core::Principal;

use crate::{
    jwt::{Entry, ThreadEntry, Verified},
    sender::Confirmation,
};

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
    caller: Caller<C>,
    /// The request came with a DPoP proof.
    has_proof: bool,
}

enum Caller<C> {
    Own {
        claims: Arc<C>,
        principal: Principal,
        confirmation: Option<Arc<Confirmation>>,
    },
    /// The entry of a cache of tokens.
    Token(Arc<Entry<C>>),
    /// The entry of a cache that one thread uses. Another thread may drop it.
    ThreadToken(Arc<ThreadEntry<C>>),
}

impl<C> Identity<C> {
    /// Returns an identity, for an authentication of your own and for tests.
    pub fn new(claims: C, principal: Principal) -> Self {
        Verified { claims: Arc::new(claims), principal, confirmation: None }.into()
    }

    /// Sets the method by which the caller authenticated, unless the principal has one. That of a token has.
    pub(crate) fn authenticated_by(mut self, method: &'static str) -> Self {
        if let Caller::Own { principal, .. } = &mut self.caller
            && principal.method().is_empty()
        {
            *principal = principal.clone().authenticated_by(method);
        }
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
        let caller = Caller::Own {
            claims: Arc::new(claims),
            principal: self.principal().clone(),
            confirmation: self.shared_confirmation().cloned(),
        };
        Identity { caller, has_proof: self.has_proof }
    }

    /// Returns the key that the client must prove to have, if the token is bound to one.
    pub(crate) fn confirmation(&self) -> Option<&Confirmation> {
        self.shared_confirmation().map(|confirmation| &**confirmation)
    }

    fn shared_confirmation(&self) -> Option<&Arc<Confirmation>> {
        match &self.caller {
            Caller::Own { confirmation, .. } => confirmation.as_ref(),
            Caller::Token(entry) => entry.verified.confirmation.as_ref(),
            Caller::ThreadToken(of_thread) => of_thread.entry.verified.confirmation.as_ref(),
        }
    }

    /// Returns the claims.
    pub fn claims(&self) -> &C {
        match &self.caller {
            Caller::Own { claims, .. } => claims,
            Caller::Token(entry) => &entry.verified.claims,
            Caller::ThreadToken(of_thread) => &of_thread.entry.verified.claims,
        }
    }

    /// Returns the caller, as roles and limits see it.
    pub fn principal(&self) -> &Principal {
        match &self.caller {
            Caller::Own { principal, .. } => principal,
            Caller::Token(entry) => &entry.verified.principal,
            Caller::ThreadToken(of_thread) => &of_thread.principal,
        }
    }
}

impl<C> From<Caller<C>> for Identity<C> {
    fn from(caller: Caller<C>) -> Self {
        Self { caller, has_proof: false }
    }
}

impl<C> From<Verified<C>> for Identity<C> {
    fn from(Verified { claims, principal, confirmation }: Verified<C>) -> Self {
        Caller::Own { claims, principal, confirmation }.into()
    }
}

impl<C> From<Arc<Entry<C>>> for Identity<C> {
    fn from(entry: Arc<Entry<C>>) -> Self {
        Caller::Token(entry).into()
    }
}

impl<C> From<Arc<ThreadEntry<C>>> for Identity<C> {
    fn from(entry: Arc<ThreadEntry<C>>) -> Self {
        Caller::ThreadToken(entry).into()
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
        let caller = match &self.caller {
            Caller::Own { claims, principal, confirmation } => Caller::Own {
                claims: Arc::clone(claims),
                principal: principal.clone(),
                confirmation: confirmation.clone(),
            },
            Caller::Token(entry) => Caller::Token(Arc::clone(entry)),
            Caller::ThreadToken(entry) => Caller::ThreadToken(Arc::clone(entry)),
        };
        Self { caller, has_proof: self.has_proof }
    }
}

/// Shows the principal and not the claims, which may contain secrets.
impl<C> fmt::Debug for Identity<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(self.principal()).finish()
    }
}
