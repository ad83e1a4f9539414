use palisade_core::{Chain, ErrorLayer, ErrorPolicyLayer, NoPolicies, PolicyLayer, Stage};
use tower_layer::Identity;

use super::outside::{Outside, Own};

/// The policies at the inner end of a stack, which are to become one service.
pub trait Segment {
    /// This, and one policy more.
    type Then<P: Stage + Clone>: Segment + Clone;
    /// This, and one error format, inside everything that is there.
    type Handled: Segment + Clone;
    /// This as a layer inside `Outer`.
    type Onto<Outer: Outside, E: Errors>: Outside;

    fn then<P: Stage + Clone>(self, policy: P) -> Self::Then<P>;

    fn handled(self, errors: ErrorLayer) -> Self::Handled;

    /// `errors` is the error format of the segments outside, if they have one.
    fn close<Outer: Outside, E: Errors>(self, outer: Outer, errors: &E) -> Self::Onto<Outer, E>;
}

/// What makes responses of the failures inside a segment, if the stack has an error format.
pub trait Errors: Clone {
    /// The policies, and inside of them the error format.
    type Around<C: Stage>;

    fn around<C: Stage>(&self, policies: C) -> Self::Around<C>;
}

impl Errors for Identity {
    type Around<C: Stage> = PolicyLayer<C>;

    fn around<C: Stage>(&self, policies: C) -> PolicyLayer<C> {
        PolicyLayer::new(policies)
    }
}

impl Errors for ErrorLayer {
    type Around<C: Stage> = ErrorPolicyLayer<C, NoPolicies>;

    fn around<C: Stage>(&self, policies: C) -> Self::Around<C> {
        self.clone().with_policies(policies, NoPolicies)
    }
}

/// No policies.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Segment for Nothing {
    type Then<P: Stage + Clone> = Policies<P>;
    type Handled = Handled<NoPolicies, NoPolicies>;
    type Onto<Outer: Outside, E: Errors> = Outer;

    fn then<P: Stage + Clone>(self, policy: P) -> Policies<P> {
        Policies(policy)
    }

    fn handled(self, errors: ErrorLayer) -> Self::Handled {
        Handled { outside: NoPolicies, errors, inside: NoPolicies }
    }

    fn close<Outer: Outside, E: Errors>(self, outer: Outer, _: &E) -> Outer {
        outer
    }
}

/// One policy, or a chain of them.
#[derive(Clone, Copy, Debug)]
pub struct Policies<C>(C);

impl<C: Stage + Clone> Segment for Policies<C> {
    type Then<P: Stage + Clone> = Policies<Chain<C, P>>;
    type Handled = Handled<C, NoPolicies>;
    type Onto<Outer: Outside, E: Errors> = Own<Outer::Sharing, E::Around<C>>;

    fn then<P: Stage + Clone>(self, policy: P) -> Policies<Chain<C, P>> {
        Policies(Chain(self.0, policy))
    }

    fn handled(self, errors: ErrorLayer) -> Self::Handled {
        Handled { outside: self.0, errors, inside: NoPolicies }
    }

    fn close<Outer: Outside, E: Errors>(self, outer: Outer, errors: &E) -> Self::Onto<Outer, E> {
        Own::new(outer, errors.around(self.0))
    }
}

/// One error format, and the policies around it and inside it.
#[derive(Clone, Debug)]
pub struct Handled<O, I> {
    outside: O,
    errors: ErrorLayer,
    inside: I,
}

impl<O: Stage + Clone, I: Stage + Clone> Segment for Handled<O, I> {
    type Then<P: Stage + Clone> = Handled<O, Chain<I, P>>;
    type Handled = Self;
    type Onto<Outer: Outside, E: Errors> = Own<Outer::Sharing, ErrorPolicyLayer<O, I>>;

    fn then<P: Stage + Clone>(self, policy: P) -> Self::Then<P> {
        let inside = Chain(self.inside, policy);
        Handled { outside: self.outside, errors: self.errors, inside }
    }

    fn handled(self, _: ErrorLayer) -> Self {
        self
    }

    fn close<Outer: Outside, E: Errors>(self, outer: Outer, _: &E) -> Self::Onto<Outer, E> {
        Own::new(outer, self.errors.with_policies(self.outside, self.inside))
    }
}
