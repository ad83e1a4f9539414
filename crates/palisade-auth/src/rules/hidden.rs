use std::{borrow::Cow, fmt};

use palisade_core::Principal;

use super::{Denial, Rule, Verdict, rule::Described};

/// A rule that denies with 404; see [`Rule::hide_as_not_found`].
///
/// The response equals [`ApiError::not_found`](palisade_core::ApiError::not_found): return the same for a resource that does
/// not exist. A 401 and a 503 are not changed, because they do not depend on the resource.
#[derive(Clone, Copy)]
pub struct Hidden<R> {
    rule: R,
}

impl<R> Hidden<R> {
    pub(super) fn new(rule: R) -> Self {
        Self { rule }
    }
}

impl<R: Rule> Rule for Hidden<R> {
    type About = R::About;

    fn decide(&self, caller: &Principal, about: &R::About) -> Verdict {
        match self.rule.decide(caller, about) {
            Verdict::Deny(denial) => Verdict::Deny(denial.hidden()),
            decided => decided,
        }
    }

    fn veto(&self, caller: &Principal, about: &R::About) -> Option<Denial> {
        self.rule.veto(caller, about).map(Denial::hidden)
    }

    fn tenant<'a>(&self, caller: &Principal, about: &'a R::About) -> Option<Cow<'a, str>> {
        self.rule.tenant(caller, about)
    }

    fn hides(&self) -> bool {
        true
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hidden {}", Described(&self.rule))
    }
}

impl<R: Rule> fmt::Debug for Hidden<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)
    }
}
