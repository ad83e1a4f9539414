use std::{borrow::Cow, fmt, sync::Arc};

use http::request;
use palisade_core::Principal;

use super::{And, Authorize, Denial, Hidden, Not, Or, Verdict};

/// A rule about what a caller may do, as a value.
///
/// A rule is evaluated for the head of a request ([`request::Parts`]), as an [`Authorize`] on a route, or for a resource that a
/// handler has loaded, by [`Identity::require`](crate::Identity::require). Rules such as `role` and `scope` work for both; the
/// compiler infers which.
///
/// Rules are evaluated only for authenticated callers, so that no rule, also inside `not`, can allow an anonymous request.
///
/// Your own rule is one type with two methods:
///
/// ```
/// use std::fmt;
///
/// use http::request;
/// use palisade_auth::rules::{Rule, Verdict, role};
/// use palisade_core::Principal;
///
/// /// Allows requests that change nothing.
/// struct ReadOnly;
///
/// impl Rule for ReadOnly {
///     type About = request::Parts;
///
///     fn decide(&self, _: &Principal, request: &request::Parts) -> Verdict {
///         if request.method.is_safe() { Verdict::Allow } else { Verdict::deny("it writes") }
///     }
///
///     fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("read-only")
///     }
/// }
///
/// let rule = ReadOnly.or(role("editor"));
/// ```
pub trait Rule: Send + Sync + 'static {
    /// The type that the rule is evaluated for: [`request::Parts`] or a resource.
    type About: ?Sized;

    /// Decides whether the rule allows it to `caller`. It has no side effects: it may be called several times, and not at
    /// all if the result is known before.
    fn decide(&self, caller: &Principal, about: &Self::About) -> Verdict;

    /// Returns the denial of a [`deny`](super::deny) rule inside this rule. A combinator must ask its inner rules. Default:
    /// `None`.
    fn veto(&self, caller: &Principal, about: &Self::About) -> Option<Denial> {
        let _ = (caller, about);
        None
    }

    /// Returns the tenant that the request or the resource belongs to, if this rule finds that out and `caller` is a
    /// member of it. Default: `None`.
    ///
    /// The rules that are combined with it by [`and`](Rule::and) then see the caller as it [acts in that
    /// tenant](Principal::in_tenant): a role that the caller has in another tenant does not count.
    fn tenant<'a>(&self, caller: &Principal, about: &'a Self::About) -> Option<Cow<'a, str>> {
        let _ = (caller, about);
        None
    }

    /// True if a no of it may be one that is [hidden](Rule::hide_as_not_found): then it is also a 404 where no rule in
    /// it has a say. A combinator of your own answers for the rules that it is made of.
    fn hides(&self) -> bool {
        false
    }

    /// Writes the name of the rule for the log.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Holds if both rules hold. `other` is not evaluated if this rule does not hold.
    ///
    /// If one of the two is about a [tenant](Rule::tenant), both are evaluated in that tenant:
    /// `tenant_from_path(…)?.and(role("editor"))` requires the role *in the tenant of the path*.
    fn and<B: Rule<About = Self::About>>(self, other: B) -> And<Self, B>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Holds where one of them does. `other` is not asked if this one holds.
    fn or<B: Rule<About = Self::About>>(self, other: B) -> Or<Self, B>
    where
        Self: Sized,
    {
        Or::new(self, other)
    }

    /// Returns the negation of a [`Predicate`].
    fn not(self) -> Not<Self>
    where
        Self: Predicate + Sized,
    {
        Not::new(self)
    }

    /// Denies with 404 instead of 403, so that the response does not reveal whether the resource exists.
    fn hide_as_not_found(self) -> Hidden<Self>
    where
        Self: Sized,
    {
        Hidden::new(self)
    }

    /// This rule as a policy.
    fn authorize(self) -> Authorize<Self>
    where
        Self: Rule<About = request::Parts> + Sized,
    {
        Authorize::new(self)
    }
}

/// A rule that can be [negated](Rule::not) and [denied](super::deny).
///
/// It returns [`Allow`](Verdict::Allow) if it holds, [`Deny`](Verdict::Deny) if it does not hold, and
/// [`CouldNotTell`](Verdict::CouldNotTell) if it fails. [`tenant_from_path`](super::tenant_from_path) is not a predicate: it
/// also denies ambiguous paths, whose negation must not allow.
pub trait Predicate: Rule {}

/// A shared rule, or one without a type that can be written: `Arc<dyn Rule<About = request::Parts>>`.
impl<R: Rule + ?Sized> Rule for Arc<R> {
    type About = R::About;

    fn decide(&self, caller: &Principal, about: &R::About) -> Verdict {
        R::decide(self, caller, about)
    }

    fn veto(&self, caller: &Principal, about: &R::About) -> Option<Denial> {
        R::veto(self, caller, about)
    }

    fn tenant<'a>(&self, caller: &Principal, about: &'a R::About) -> Option<Cow<'a, str>> {
        R::tenant(self, caller, about)
    }

    fn hides(&self) -> bool {
        R::hides(self)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        R::describe(self, f)
    }
}

impl<R: Predicate + ?Sized> Predicate for Arc<R> {}

/// Returns the caller as it acts in the tenant of a rule, if the rule is about one.
pub(super) fn in_tenant_of<R: Rule + ?Sized>(
    rule: &R,
    caller: &Principal,
    about: &R::About,
) -> Option<Principal> {
    caller.in_tenant(&rule.tenant(caller, about)?)
}

/// A rule by the name that it has in the log.
pub(super) struct Described<'a, R: ?Sized>(pub(super) &'a R);

impl<R: Rule + ?Sized> fmt::Display for Described<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}
