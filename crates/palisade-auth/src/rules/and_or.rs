use std::{borrow::Cow, fmt};

use palisade_core::Principal;

use super::{
    Denial, Predicate, Rule, Verdict,
    rule::{Described, in_tenant_of},
};

/// Both rules; see [`Rule::and`].
#[derive(Clone, Copy)]
pub struct And<A, B> {
    a: A,
    b: B,
}

impl<A, B> And<A, B> {
    pub(super) fn new(a: A, b: B) -> Self {
        Self { a, b }
    }
}

impl<A: Rule, B: Rule<About = A::About>> Rule for And<A, B> {
    type About = A::About;

    fn decide(&self, caller: &Principal, about: &A::About) -> Verdict {
        let in_tenant = in_tenant_of(self, caller, about);
        let caller = in_tenant.as_ref().unwrap_or(caller);
        match self.a.decide(caller, about) {
            Verdict::Allow => match self.b.decide(caller, about) {
                Verdict::Abstain => Verdict::Allow,
                decided => decided,
            },
            Verdict::Abstain => self.b.decide(caller, about),
            decided => decided,
        }
    }

    fn veto(&self, caller: &Principal, about: &A::About) -> Option<Denial> {
        let in_tenant = in_tenant_of(self, caller, about);
        let caller = in_tenant.as_ref().unwrap_or(caller);
        self.a.veto(caller, about).or_else(|| self.b.veto(caller, about))
    }

    /// Of two tenants the second counts, as for a project within an organisation.
    fn tenant<'a>(&self, caller: &Principal, about: &'a A::About) -> Option<Cow<'a, str>> {
        self.b.tenant(caller, about).or_else(|| self.a.tenant(caller, about))
    }

    fn hides(&self) -> bool {
        self.a.hides() || self.b.hides()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} and {})", Described(&self.a), Described(&self.b))
    }
}

impl<A: Predicate, B: Predicate<About = A::About>> Predicate for And<A, B> {}

/// One of two rules; see [`Rule::or`].
#[derive(Clone, Copy)]
pub struct Or<A, B> {
    a: A,
    b: B,
}

impl<A, B> Or<A, B> {
    pub(super) fn new(a: A, b: B) -> Self {
        Self { a, b }
    }
}

impl<A: Rule, B: Rule<About = A::About>> Rule for Or<A, B> {
    type About = A::About;

    fn decide(&self, caller: &Principal, about: &A::About) -> Verdict {
        let a = match self.a.decide(caller, about) {
            Verdict::Allow => return Verdict::Allow,
            failed => failed,
        };
        match (a, self.b.decide(caller, about)) {
            (_, Verdict::Allow) => Verdict::Allow,
            (Verdict::CouldNotTell(error), _) | (_, Verdict::CouldNotTell(error)) => {
                Verdict::CouldNotTell(error)
            }
            (Verdict::Deny(a), Verdict::Deny(b)) => Verdict::Deny(a.more_telling(b)),
            (Verdict::Deny(denial), _) | (_, Verdict::Deny(denial)) => Verdict::Deny(denial),
            (_, Verdict::Abstain) => Verdict::Abstain,
        }
    }

    /// Each rule vetoes in the tenant of either: a caller who is suspended in one of them is suspended.
    fn veto(&self, caller: &Principal, about: &A::About) -> Option<Denial> {
        let veto =
            |caller: &Principal| self.a.veto(caller, about).or_else(|| self.b.veto(caller, about));
        let in_a = in_tenant_of(&self.a, caller, about);
        let in_b = in_tenant_of(&self.b, caller, about);
        match (in_a, in_b) {
            (None, None) => veto(caller),
            (in_a, in_b) => in_a.iter().chain(&in_b).find_map(veto),
        }
    }

    /// The tenant of the rule that holds: a role in the tenant of the other one must not count.
    fn tenant<'a>(&self, caller: &Principal, about: &'a A::About) -> Option<Cow<'a, str>> {
        if matches!(self.a.decide(caller, about), Verdict::Allow) {
            return self.a.tenant(caller, about);
        }
        if matches!(self.b.decide(caller, about), Verdict::Allow) {
            return self.b.tenant(caller, about);
        }
        None
    }

    fn hides(&self) -> bool {
        self.a.hides() || self.b.hides()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} or {})", Described(&self.a), Described(&self.b))
    }
}

impl<A: Predicate, B: Predicate<About = A::About>> Predicate for Or<A, B> {}

impl<A: Rule, B: Rule<About = A::About>> fmt::Debug for And<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)
    }
}

impl<A: Rule, B: Rule<About = A::About>> fmt::Debug for Or<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)
    }
}
