use palisade_core::ApiError;

use super::{
    Rule,
    judge::{evaluate, judge},
    rule::Described,
};
use crate::Identity;

impl<C> Identity<C> {
    /// Evaluates a rule for a resource that a handler has loaded.
    ///
    /// The log and the errors are those of [`Authorize`](super::Authorize): 403, with a challenge if a scope is missing; 404 if
    /// the rule hides it; 503 if the rule fails.
    ///
    /// ```
    /// use palisade_auth::{Identity, rules::{Rule, deny, owner, role}};
    /// use palisade_core::{ApiError, Principal};
    ///
    /// struct Report { author: String, text: String }
    ///
    /// fn read(identity: Identity<()>, report: Report) -> Result<String, ApiError> {
    ///     let rule = owner(|report: &Report| report.author.as_str()).or(role("admin")).hide_as_not_found();
    ///     identity.require(&rule, &report)?;
    ///     Ok(report.text)
    /// }
    ///
    /// let report = Report { author: "ada".into(), text: "all is well".into() };
    /// let grace = Identity::new((), Principal::new("grace").with_roles(["admin"]));
    /// assert_eq!(read(grace, report)?, "all is well");
    /// # Ok::<_, ApiError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the rule does not allow it.
    pub fn require<R: Rule + ?Sized>(&self, rule: &R, resource: &R::About) -> Result<(), ApiError> {
        judge(rule, Described(rule), self.principal(), resource)
    }

    /// Returns true if the rule allows it, for filtering lists. A failed rule does not allow it.
    ///
    /// ```
    /// use palisade_auth::{Identity, rules::owner};
    /// use palisade_core::Principal;
    ///
    /// let ada = Identity::new((), Principal::new("ada"));
    /// let mut authors = vec!["ada".to_owned(), "grace".to_owned()];
    /// let own = owner(String::as_str);
    /// authors.retain(|author| ada.may(&own, author));
    /// assert_eq!(authors, ["ada"]);
    /// ```
    pub fn may<R: Rule + ?Sized>(&self, rule: &R, resource: &R::About) -> bool {
        evaluate(rule, Described(rule), self.principal(), resource).is_ok()
    }
}
