use crate::place::{Place, Step};

/// Where the walk is, from the inside out.
#[derive(Clone, Copy)]
pub(super) enum Trail<'t> {
    Root,
    Field(&'t Trail<'t>, &'t str),
    Item(&'t Trail<'t>, usize),
}

impl Trail<'_> {
    pub(super) fn place(&self) -> Place {
        let mut steps = Vec::new();
        let mut trail = self;
        loop {
            trail = match trail {
                Self::Root => break,
                Self::Field(outer, name) => {
                    steps.push(Step::Name((*name).to_owned()));
                    outer
                }
                Self::Item(outer, at) => {
                    steps.push(Step::Item(*at));
                    outer
                }
            };
        }
        steps.reverse();
        Place(steps)
    }
}
