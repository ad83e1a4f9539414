use std::fmt;

use super::{ids::NodeId, node::Node};
use crate::place::{Found, Place};

/// A compiled schema.
pub(crate) struct Judge {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

/// What counts as valid, beyond the schema.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// `62.0` is an integer.
    pub(crate) accepts_integral_floats: bool,
    /// An object of which the schema lists the fields has no others, unless the schema has keywords for them.
    pub(crate) denies_unknown_fields: bool,
    /// The schema is that of a type, which may accept more: names of serde's `alias`.
    pub(crate) is_derived: bool,
}

/// What is wrong with a document.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Judgement {
    /// In the order of the schema. Empty: the document is valid.
    pub(crate) found: Vec<Found>,
    /// A part of the document was not looked at.
    pub(crate) truncated: bool,
    /// Objects in which a field is missing or unknown, each with the members that the schema does not know: they may be
    /// aliases. And values with objects that none of several branches accepts, for the same reason.
    pub(crate) doubts: Vec<(Place, Vec<String>)>,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}
