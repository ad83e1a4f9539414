use std::fmt;

use palisade_core::Principal;

use super::{Denial, Predicate, Rule, Verdict, rule::Described};

/// Denies callers for whom `predicate` holds. It overrides all other rules in every position, also inside `or`.
///
/// It abstains for all other callers, so combine it with a rule that allows. If the predicate fails, it denies. (Cedar ignores
/// a failed rule, so that a `forbid` may silently stop working.)
///
/// ```
/// use http::{Request, StatusCode};
/// use palisade_auth::rules::{Rule, deny, role};
/// use palisade_core::{Decision, Halt, Policy, Principal};
///
/// let rule = role("editor").and(deny(role("suspended"))).or(role("admin")).authorize();
/// let answer = |roles: &[&'static str]| {
///     let mut request = Request::new(());
///     request.extensions_mut().insert(Principal::new("ada").with_roles(roles.iter().copied()));
///     match rule.decide(&request.into_parts().0) {
///         Decision::Now(Ok(())) => StatusCode::OK,
///         Decision::Now(Err(Halt::Refuse(error))) => error.status(),
///         other => panic!("{other:?}"),
///     }
/// };
/// assert_eq!(answer(&["editor"]), StatusCode::OK);
/// assert_eq!(answer(&["admin"]), StatusCode::OK);
/// assert_eq!(answer(&["admin", "suspended"]), StatusCode::FORBIDDEN);
/// ```
pub fn deny<R: Predicate>(predicate: R) -> Deny<R> {
    Deny { predicate }
}

/// See [`deny`].
#[derive(Clone, Copy)]
pub struct Deny<R> {
    predicate: R,
}

impl<R: Predicate> Rule for Deny<R> {
    type About = R::About;

    fn decide(&self, _: &Principal, _: &R::About) -> Verdict {
        Verdict::Abstain
    }

    fn veto(&self, caller: &Principal, about: &R::About) -> Option<Denial> {
        match self.predicate.decide(caller, about) {
            Verdict::Allow => Some(Denial::new(Described(self).to_string())),
            Verdict::CouldNotTell(error) => {
                let reason = format!("{} could not be told", Described(self));
                Some(Denial::new(reason).caused_by(error))
            }
            Verdict::Deny(_) | Verdict::Abstain => None,
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deny {}", Described(&self.predicate))
    }
}

impl<R: Predicate> fmt::Debug for Deny<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)
    }
}
