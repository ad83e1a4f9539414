//! What tells the branches of a union apart: their types, a tag, or a single key.

use serde_json::Value;

use super::{
    ids::{NEVER, NodeId},
    node::Node,
    types::Types,
    union::{Tag, Union, is_same},
};

impl Union {
    /// Learns what tells the branches apart, from the nodes of the whole schema and the types of each.
    pub(super) fn look_into_branches(&mut self, nodes: &[Node], types: &[Types]) {
        let form = |branch: &NodeId| Form::new(nodes, types[*branch], *branch);
        let forms: Vec<_> = self.branches.iter().map(form).collect();
        self.types = forms.iter().map(|form| form.types).collect();
        let objects: Vec<_> = (0..forms.len()).filter(|at| forms[*at].is_object()).collect();
        if self.tag.is_none() {
            self.tag = common_tag(&forms, &objects);
        }
        if objects.iter().all(|at| forms[*at].key.is_some()) {
            let key = |at: &usize| forms[*at].key.clone().map(|key| (key, *at));
            self.keys = objects.iter().filter_map(key).collect();
        }
        self.options = forms.iter().filter_map(|form| form.options.clone()).flatten().collect();
    }
}

/// A field that every object branch requires, each with constants of its own.
fn common_tag(forms: &[Form], objects: &[usize]) -> Option<Tag> {
    let (first, others) = objects.split_first()?;
    if others.is_empty() {
        return None;
    }
    forms[*first].tags.iter().find_map(|(name, _)| {
        let mut values: Vec<(Value, usize)> = Vec::new();
        for at in objects {
            let (_, constants) = forms[*at].tags.iter().find(|(tag, _)| tag == name)?;
            for constant in constants {
                if values.iter().any(|(known, _)| is_same(known, constant)) {
                    return None;
                }
                values.push((constant.clone(), *at));
            }
        }
        Some(Tag { name: name.clone(), values })
    })
}

/// What is known of every value that a branch accepts.
struct Form {
    types: Types,
    /// Required fields that are constants.
    tags: Vec<(String, Vec<Value>)>,
    /// The only field, which is required.
    key: Option<String>,
    /// The branch accepts these values and no others.
    options: Option<Vec<Value>>,
}

impl Form {
    fn new(nodes: &[Node], types: Types, branch: NodeId) -> Self {
        let beside = beside(nodes, branch);
        let mut tags: Vec<(String, Vec<Value>)> = Vec::new();
        for name in beside.iter().flat_map(|node| &node.required) {
            let field = |node: &&Node| node.field_index.get(name).map(|at| node.fields[*at].1);
            let constants = beside.iter().filter_map(field).find_map(|field| options(nodes, field));
            if let Some(constants) = constants
                && tags.iter().all(|(tag, _)| tag != name)
            {
                tags.push((name.clone(), constants));
            }
        }
        let node = &nodes[branch];
        let key = match (&node.fields[..], &node.required[..]) {
            ([(field, _)], [required]) if field == required && node.additional == Some(NEVER) => {
                Some(field.clone())
            }
            _ => None,
        };
        Self { types, tags, key, options: options(nodes, branch) }
    }

    fn is_object(&self) -> bool {
        self.types.has(Types::OBJECT)
    }
}

/// The constants of a schema.
fn options(nodes: &[Node], node: NodeId) -> Option<Vec<Value>> {
    beside(nodes, node).iter().find_map(|node| node.options.clone())
}

/// How many schemas of one value are looked at for its tag.
const MAX_BESIDE: usize = 32;

/// A node and the nodes that hold whenever it does: references and `allOf`.
fn beside(nodes: &[Node], node: NodeId) -> Vec<&Node> {
    let mut found = vec![node];
    let mut next = 0;
    while let Some(at) = found.get(next) {
        for other in &nodes[*at].all {
            if found.len() < MAX_BESIDE && !found.contains(other) {
                found.push(*other);
            }
        }
        next += 1;
    }
    found.into_iter().map(|at| &nodes[at]).collect()
}
