//! `unevaluatedProperties` and `unevaluatedItems`: which members the schemas of a value have judged.

use std::collections::HashSet;

use serde_json::Value;

use super::{MAX_OPEN, Walk};
use crate::{
    examine::Path,
    schema::{
        ids::{NEVER, NodeId},
        node::Node,
        union::{Choice, Union},
    },
};

/// The members of a value that a schema has judged.
#[derive(Default)]
pub(super) struct Judged<'v> {
    pub(super) all: bool,
    pub(super) fields: HashSet<&'v str>,
    items: HashSet<usize>,
}

impl<'j> Walk<'j> {
    pub(super) fn unevaluated_holds(
        &mut self,
        node: &'j Node,
        value: &Value,
        at: Option<&Path<'_>>,
    ) -> bool {
        let mut holds = true;
        match (value, node.unevaluated_properties, node.unevaluated_items) {
            (Value::Object(object), Some(rest), _) => {
                let mut judged = Judged::default();
                self.judged_by_others(node, value, &mut judged);
                for (name, member) in object {
                    if !judged.all && !judged.fields.contains(&**name) {
                        holds &= self.field_holds(rest, name, member, at);
                    }
                }
            }
            (Value::Array(items), _, Some(rest)) => {
                let mut judged = Judged::default();
                self.judged_by_others(node, value, &mut judged);
                for (index, item) in items.iter().enumerate() {
                    if !judged.all && !judged.items.contains(&index) {
                        holds &= self.item_holds(rest, index, item, at);
                    }
                }
            }
            _ => {}
        }
        holds
    }

    /// Collects the members that a schema judges.
    pub(super) fn judged<'v>(&mut self, id: NodeId, value: &'v Value, judged: &mut Judged<'v>) {
        if self.open == MAX_OPEN || !self.spend(1) {
            self.is_exhausted = true;
            return;
        }
        let node = self.node(id);
        judged.all |= match value {
            Value::Object(_) => node.unevaluated_properties.is_some(),
            _ => node.unevaluated_items.is_some(),
        };
        self.open += 1;
        self.judged_by_others(node, value, judged);
        self.open -= 1;
    }

    /// The same, without the `unevaluated…` of the schema itself.
    fn judged_by_others<'v>(&mut self, node: &'j Node, value: &'v Value, judged: &mut Judged<'v>) {
        match value {
            Value::Object(object) => {
                // What `false` forbids has been reported, and is not known.
                judged.all |= node.additional.is_some_and(|rest| rest != NEVER);
                if judged.all || !self.spend(object.len() * (1 + node.patterns.len())) {
                    return;
                }
                for name in object.keys() {
                    let matches = |name: &str| {
                        let text = Value::String(name.to_owned());
                        node.patterns.iter().any(|(pattern, _)| pattern.is_valid(&text))
                    };
                    if node.field_index.contains_key(name)
                        || !node.patterns.is_empty() && matches(name)
                    {
                        judged.fields.insert(name);
                    }
                }
            }
            Value::Array(items) => {
                judged.all |= node.items.is_some();
                if judged.all {
                    return;
                }
                judged.items.extend(0..node.prefix.len());
                if let Some(contains) = &node.contains {
                    for (index, item) in items.iter().enumerate() {
                        if self.enter(contains.node, item, None) {
                            judged.items.insert(index);
                        }
                    }
                }
            }
            _ => return,
        }
        for id in &node.all {
            self.judged(*id, value, judged);
        }
        for (name, id) in &node.dependent {
            if value.get(name).is_some() {
                self.judged(*id, value, judged);
            }
        }
        for union in &node.unions {
            self.judged_by_union(union, value, judged);
        }
        if let Some(condition) = &node.condition {
            if self.holds(condition.test, value, None) {
                self.judged(condition.test, value, judged);
                self.judged(condition.then, value, judged);
            } else {
                self.judged(condition.otherwise, value, judged);
            }
        }
    }

    fn judged_by_union<'v>(&mut self, union: &'j Union, value: &'v Value, judged: &mut Judged<'v>) {
        match union.choose(value, self.manner.accepts_integral_floats) {
            Choice::Branch(branch) => self.judged(union.branches[branch], value, judged),
            Choice::Several(branches) => {
                let mut holds_any = false;
                for branch in branches {
                    if self.holds(union.branches[branch], value, None) {
                        holds_any = true;
                        self.judged(union.branches[branch], value, judged);
                    }
                }
                // The value is invalid for another reason, and none of its members is known to be unknown.
                judged.all |= !holds_any;
            }
            _ => judged.all = true,
        }
    }
}
