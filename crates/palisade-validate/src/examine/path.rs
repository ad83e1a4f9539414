use crate::place::{Place, Step};

/// The path to the value that is being read. It lives on the stack and becomes a [`Place`] only when something is wrong.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    /// A member, and its position among the fields of its struct.
    Field(&'a Path<'a>, &'a str, usize),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub(crate) fn to_place(self) -> Place {
        self.to_place_and_order().0
    }

    /// The place, and what sorts issues by the order in which structs declare their fields.
    pub(crate) fn to_place_and_order(self) -> (Place, Vec<usize>) {
        let (mut steps, mut order) = (Vec::new(), Vec::new());
        let mut path = self;
        loop {
            let (parent, step, position) = match path {
                Path::Root => break,
                Path::Field(parent, name, at) => (parent, Step::Name(name.to_owned()), at),
                Path::Index(parent, at) => (parent, Step::Item(at), at),
            };
            steps.push(step);
            order.push(position);
            path = *parent;
        }
        steps.reverse();
        order.reverse();
        (Place(steps), order)
    }

    /// True if one of the places is here or below.
    pub(super) fn leads_to(self, places: &[Place]) -> bool {
        !places.is_empty() && {
            let depth = self.depth();
            places.iter().any(|place| place.0.get(..depth).is_some_and(|steps| self.is(steps)))
        }
    }

    fn depth(self) -> usize {
        match self {
            Path::Root => 0,
            Path::Field(parent, ..) | Path::Index(parent, _) => 1 + parent.depth(),
        }
    }

    pub(super) fn is(self, steps: &[Step]) -> bool {
        match (self, steps.split_last()) {
            (Path::Root, None) => true,
            (Path::Field(parent, name, _), Some((Step::Name(step), above))) => {
                step == name && parent.is(above)
            }
            (Path::Index(parent, at), Some((Step::Item(step), above))) => {
                *step == at && parent.is(above)
            }
            _ => false,
        }
    }
}
