use std::collections::HashMap;

use crate::place::Place;

/// What a type asked for, by place. Items of a list are all at its position 0, so that this is as large as the type,
/// and not as the value.
#[derive(Debug, Default)]
pub(crate) struct Shapes(HashMap<Place, Shape>);

/// How many places are remembered. Maps have names that a client chose.
const MAX_PLACES: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// With the names that are known on the wire, aliases included.
    Struct(&'static [&'static str]),
    /// Named by the one field of an object.
    Enum,
    /// A list, or a tuple of this length. Only the whole value is remembered as one.
    List(Option<usize>),
    /// A text, a number or the like. Only the whole value is remembered as one.
    Single,
}

impl Shapes {
    pub(super) fn remember(&mut self, place: &Place, shape: Shape) {
        if self.0.len() < MAX_PLACES {
            self.0.entry(place.of_any_item()).or_insert(shape);
        }
    }

    pub(crate) fn at(&self, place: &Place) -> Option<Shape> {
        self.0.get(&place.of_any_item()).copied()
    }
}
