use std::{fmt, marker::PhantomData, sync::Arc};

use palisade_core::Principal;

use super::{Denial, Predicate, Rule, Verdict};

/// Holds for the caller whose [subject](Principal::subject) is the one that `owner_of` returns for the resource. A
/// resource with an empty owner has no owner.
///
/// The subject alone identifies a caller only if one issuer is trusted. With several, compare the issuer too, with [`check_resource`](super::check_resource).
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
    Owner { owner_of, stranger: "not the owner".into(), about: PhantomData }
}

/// See [`owner`].
pub struct Owner<T: ?Sized, F> {
    owner_of: F,
    stranger: Arc<str>,
    about: PhantomData<fn(&T)>,
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
