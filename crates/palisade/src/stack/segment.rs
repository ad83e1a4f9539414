use palisade_core::{Chain, PolicyLayer, Stage};

/// `Inner` inside `Outer`, as one layer. tower names them the other way round.
pub(super) type Nest<Outer, Inner> = tower_layer::Stack<Inner, Outer>;

/// The policies at the inner end of a stack, which are to become one stage.
pub trait Segment {
    /// This, and one policy more.
    type Then<P: Stage + Clone>: Segment + Clone;
    /// This as a layer inside `Outer`, with what makes responses of failures inside that.
    type Onto<Outer, Errors>;

    fn then<P: Stage + Clone>(self, policy: P) -> Self::Then<P>;

    fn close<Outer, Errors: Clone>(
        self,
        outer: Outer,
        errors: &Errors,
    ) -> Self::Onto<Outer, Errors>;
}

/// No policies.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Segment for Nothing {
    type Then<P: Stage + Clone> = Policies<P>;
    type Onto<Outer, Errors> = Outer;

    fn then<P: Stage + Clone>(self, policy: P) -> Policies<P> {
        Policies(policy)
    }

    fn close<Outer, Errors: Clone>(self, outer: Outer, _: &Errors) -> Outer {
        outer
    }
}

/// One policy, or a chain of them.
#[derive(Clone, Copy, Debug)]
pub struct Policies<C>(C);

impl<C: Stage + Clone> Segment for Policies<C> {
    type Then<P: Stage + Clone> = Policies<Chain<C, P>>;
    type Onto<Outer, Errors> = Nest<Nest<Outer, PolicyLayer<C>>, Errors>;

    fn then<P: Stage + Clone>(self, policy: P) -> Policies<Chain<C, P>> {
        Policies(Chain(self.0, policy))
    }

    fn close<Outer, Errors: Clone>(
        self,
        outer: Outer,
        errors: &Errors,
    ) -> Self::Onto<Outer, Errors> {
        Nest::new(errors.clone(), Nest::new(PolicyLayer::new(self.0), outer))
    }
}
