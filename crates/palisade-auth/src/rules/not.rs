use std::fmt;

use palisade_core::Principal;

use super::{Predicate, Rule, Verdict, rule::Described};

/// The opposite of a predicate; see [`Rule::not`].
#[derive(Clone, Copy)]
pub struct Not<R> {
    rule: R,
}

impl<R> Not<R> {
    pub(super) fn new(rule: R) -> Self {
        Self { rule }
    }
}

impl<R: Predicate> Rule for Not<R> {
    type About = R::About;

    fn decide(&self, caller: &Principal, about: &R::About) -> Verdict {
        match self.rule.decide(caller, about) {
            Verdict::Allow => Verdict::deny(Described(self).to_string()),
            Verdict::Deny(_) => Verdict::Allow,
            // Only `Allow` and `Deny` have an opposite.
            undecided => undecided,
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}", Described(&self.rule))
    }
}

impl<R: Predicate> Predicate for Not<R> {}

impl<R: Predicate> fmt::Debug for Not<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)
    }
}
