//! A compiled schema: a graph of nodes, in which a reference is an edge.

use std::collections::HashMap;

use jsonschema::Validator;
use serde_json::Value;

use super::{ids::NodeId, types::Types, union::Union};

/// The keywords of one schema object. A keyword that is absent has its default.
#[derive(Default)]
pub(super) struct Node {
    pub(super) is_never: bool,
    pub(super) types: Option<Types>,
    /// The values of `const` or `enum`.
    pub(super) options: Option<Vec<Value>>,
    /// The keywords that look at the value alone, not at its members: judged by the library.
    pub(super) assertions: Option<Validator>,
    pub(super) unique_items: bool,

    pub(super) required: Vec<String>,
    pub(super) fields: Vec<(String, NodeId)>,
    /// Where each field is in `fields`.
    pub(super) field_index: HashMap<String, usize>,
    pub(super) patterns: Vec<(Validator, NodeId)>,
    pub(super) additional: Option<NodeId>,
    pub(super) names: Option<NodeId>,
    pub(super) dependent_required: Vec<(String, Vec<String>)>,
    pub(super) unevaluated_properties: Option<NodeId>,

    pub(super) prefix: Vec<NodeId>,
    pub(super) items: Option<NodeId>,
    pub(super) contains: Option<Contains>,
    pub(super) unevaluated_items: Option<NodeId>,

    /// `$ref`, `$dynamicRef` and `allOf`.
    pub(super) all: Vec<NodeId>,
    pub(super) dependent: Vec<(String, NodeId)>,
    pub(super) unions: Vec<Union>,
    pub(super) condition: Option<Condition>,
    pub(super) not: Option<NodeId>,

    /// More than one path through the schema leads here with the same value, so the verdict is remembered.
    pub(super) is_shared: bool,
    /// Other schemas judge the value or its members.
    pub(super) has_edges: bool,
    /// The node or a schema beside it lists names of fields.
    pub(super) knows_fields: bool,
}

/// `contains`, with `minContains` and `maxContains`.
pub(super) struct Contains {
    pub(super) node: NodeId,
    pub(super) min: u64,
    pub(super) max: u64,
}

/// `if`, `then` and `else`.
pub(super) struct Condition {
    pub(super) test: NodeId,
    pub(super) then: NodeId,
    pub(super) otherwise: NodeId,
}

impl Node {
    /// The schemas that judge the same value as this node.
    pub(super) fn in_place(&self) -> impl Iterator<Item = NodeId> {
        let condition = self.condition.iter().flat_map(|it| [it.test, it.then, it.otherwise]);
        let unions = self.unions.iter().flat_map(|union| &union.branches).copied();
        let dependent = self.dependent.iter().map(|(_, node)| *node);
        let all = self.all.iter().copied();
        all.chain(dependent).chain(unions).chain(condition).chain(self.not)
    }

    /// The schemas that judge members or names of the value.
    pub(super) fn children(&self) -> impl Iterator<Item = NodeId> {
        let fields = self.fields.iter().map(|(_, node)| *node);
        let patterns = self.patterns.iter().map(|(_, node)| *node);
        let others = [
            self.additional,
            self.names,
            self.unevaluated_properties,
            self.items,
            self.contains.as_ref().map(|contains| contains.node),
            self.unevaluated_items,
        ];
        fields
            .chain(patterns)
            .chain(self.prefix.iter().copied())
            .chain(others.into_iter().flatten())
    }
}
