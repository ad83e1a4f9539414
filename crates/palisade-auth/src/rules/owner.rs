use std::{fmt, marker::PhantomData, sync::Arc};

use palisade_core::Principal;

use super::{Denial, Predicate, Rule, Verdict};

/// Holds for the caller whose [subject](Principal::subject) is the one that `owner_of` returns for the resource. A
/// resource with an empty owner has no owner.
///
/// The owner is a subject of the service's own issuer, which is the first one of a [`Jwt`](crate::Jwt). A caller of
/// [another issuer](crate::JwtBuilder::other_issuer) may have the same subject ([`Principal::is_foreign`]) and is never the
/// owner. Behind [`any_of`](palisade_core::any_of) with several issuers, name the issuer with
/// [`issued_by`](Owner::issued_by). If callers of several issuers own resources, store the issuer too and compare both with
/// [`check_resource`](super::check_resource).
///
/// ```
/// use http::StatusCode;
/// use palisade_auth::{Identity, rules::{Rule, owner, role}};
/// use palisade_core::Principal;
///
/// struct Report { author: String }
///
/// let rule = owner(|report: &Report| report.author.as_str()).or(role("admin")).hide_as_not_found();
///
/// let report = Report { author: "ada".into() };
/// let ada = Identity::new((), Principal::new("ada"));
/// let eve = Identity::new((), Principal::new("eve"));
/// assert!(ada.require(&rule, &report).is_ok());
/// assert_eq!(eve.require(&rule, &report).unwrap_err().status(), StatusCode::NOT_FOUND);
/// ```
pub fn owner<T, F>(owner_of: F) -> Owner<T, F>
where
    T: ?Sized,
    F: Fn(&T) -> &str,
{
    Owner { owner_of, issuer: None, stranger: "not the owner".into(), about: PhantomData }
}

/// See [`owner`].
pub struct Owner<T: ?Sized, F> {
    owner_of: F,
    /// `None`: the service's own issuer.
    issuer: Option<Arc<str>>,
    stranger: Arc<str>,
    about: PhantomData<fn(&T)>,
}

impl<T: ?Sized, F> Owner<T, F> {
    /// Requires that the caller's subject comes from this issuer. An issuer of API keys or sessions without a name is
    /// the empty string.
    ///
    /// ```
    /// use palisade_auth::{Identity, rules::owner};
    /// use palisade_core::Principal;
    ///
    /// let rule = owner(String::as_str).issued_by("https://login.example.com");
    ///
    /// let caller = |issuer: &str| Identity::new((), Principal::new("42").issued_by(issuer));
    /// assert!(caller("https://login.example.com").may(&rule, &"42".to_owned()));
    /// assert!(!caller("https://partner.example").may(&rule, &"42".to_owned()));
    /// ```
    #[must_use]
    pub fn issued_by(mut self, issuer: impl Into<Arc<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    fn is_of_issuer(&self, caller: &Principal) -> bool {
        match &self.issuer {
            Some(issuer) => caller.issuer() == &**issuer,
            None => !caller.is_foreign(),
        }
    }
}

impl<T, F> Rule for Owner<T, F>
where
    T: ?Sized + 'static,
    F: Fn(&T) -> &str + Send + Sync + 'static,
{
    type About = T;

    fn decide(&self, caller: &Principal, resource: &T) -> Verdict {
        let owner = (self.owner_of)(resource);
        let owns = !owner.is_empty() && owner == caller.subject();
        if owns && !self.is_of_issuer(caller) {
            return Verdict::deny("not the owner: the caller is of another issuer");
        }
        Verdict::holds_if(owns, || Denial::new(Arc::clone(&self.stranger)))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("owner")
    }
}

impl<T, F> Predicate for Owner<T, F>
where
    T: ?Sized + 'static,
    F: Fn(&T) -> &str + Send + Sync + 'static,
{
}

impl<T: ?Sized, F: Clone> Clone for Owner<T, F> {
    fn clone(&self) -> Self {
        Self {
            owner_of: self.owner_of.clone(),
            issuer: self.issuer.clone(),
            stranger: Arc::clone(&self.stranger),
            about: PhantomData,
        }
    }
}

impl<T: ?Sized, F> fmt::Debug for Owner<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("owner")
    }
}
