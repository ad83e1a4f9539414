use crate::place::{Place, Step};

/// Where in a value we are. Lives on the stack; becomes a [`Place`] only when something is wrong there.
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub(super) fn to_place(&self) -> Place {
        let mut steps = Vec::new();
        let mut path = self;
        loop {
            path = match path {
                Path::Root => break,
                Path::Field(parent, name) => {
                    steps.push(Step::Name((*name).to_owned()));
                    parent
                }
                Path::Index(parent, at) => {
                    steps.push(Step::Item(*at));
                    parent
                }
            };
        }
        steps.reverse();
        Place(steps)
    }
}
