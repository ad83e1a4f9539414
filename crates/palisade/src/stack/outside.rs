use palisade_core::ShareBody;
use tower_layer::{Identity, Layer};

/// `Inner` inside `Outer`, as one layer. tower names them the other way round.
pub(super) type Nest<Outer, Inner> = tower_layer::Stack<Inner, Outer>;

/// What is complete of a stack, outside of what follows.
pub trait Outside {
    /// The same around a layer of Palisade, whose response body it shares.
    type Sharing;

    fn sharing(self) -> Self::Sharing;
}

impl Outside for Identity {
    type Sharing = Self;

    fn sharing(self) -> Self {
        self
    }
}

/// A layer of the user's is innermost, and may change the type of the response.
impl<Outer, Inner> Outside for Nest<Outer, Inner> {
    type Sharing = Self;

    fn sharing(self) -> Self {
        self
    }
}

/// A layer of Palisade, inside `Outer`, which shares its response body.
#[derive(Clone, Copy, Debug)]
pub struct Own<Outer, L> {
    outer: Outer,
    layer: L,
}

impl<Outer, L> Own<Outer, L> {
    pub(super) fn new<O: Outside<Sharing = Outer>>(outer: O, layer: L) -> Self {
        Self { outer: outer.sharing(), layer }
    }
}

impl<Outer, L> Outside for Own<Outer, L> {
    type Sharing = Nest<Outer, ShareBody<L>>;

    fn sharing(self) -> Self::Sharing {
        Nest::new(ShareBody(self.layer), self.outer)
    }
}

impl<S, Outer, L> Layer<S> for Own<Outer, L>
where
    L: Layer<S>,
    Outer: Layer<L::Service>,
{
    type Service = Outer::Service;

    fn layer(&self, service: S) -> Self::Service {
        self.outer.layer(self.layer.layer(service))
    }
}
