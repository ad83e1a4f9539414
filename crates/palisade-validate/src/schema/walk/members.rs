//! Judges the members of objects and lists.

use std::collections::HashSet;

use serde_json::Value;

use super::Walk;
use crate::{
    examine::Path,
    issue_codes,
    place::{Found, Place},
    schema::{
        ids::{NEVER, NodeId},
        node::{Contains, Node},
        words,
    },
};

impl<'j> Walk<'j> {
    pub(super) fn object_holds(
        &mut self,
        node: &'j Node,
        value: &Value,
        at: Option<&Path<'_>>,
    ) -> bool {
        let Value::Object(object) = value else { return true };
        let mut holds = true;
        // In the order of the schema. The object has its members by name.
        for (name, field) in &node.fields {
            match object.get(name) {
                Some(member) => holds &= self.field_holds(*field, name, member, at),
                None if node.required.contains(name) => holds = self.fails_by_missing(name, at),
                None => {}
            }
            if self.is_over(holds, at) {
                return holds;
            }
        }
        for name in &node.required {
            if !node.field_index.contains_key(name) && !object.contains_key(name) {
                holds = self.fails_by_missing(name, at);
            }
        }
        for (name, others) in &node.dependent_required {
            for other in others.iter().filter(|_| object.contains_key(name)) {
                if !object.contains_key(other) {
                    holds = self.fails_by_missing(other, at);
                }
            }
        }
        let looks_at_names =
            node.names.is_some() || node.additional.is_some() || !node.patterns.is_empty();
        if !looks_at_names {
            return holds;
        }
        for (name, member) in object {
            if self.is_over(holds, at) || !self.spend(1 + node.patterns.len()) {
                return false;
            }
            let text = (node.names.is_some() || !node.patterns.is_empty())
                .then(|| Value::String(name.clone()));
            let mut is_known = node.field_index.contains_key(name);
            if let Some(text) = &text {
                for (pattern, field) in &node.patterns {
                    if pattern.is_valid(text) {
                        is_known = true;
                        holds &= self.field_holds(*field, name, member, at);
                    }
                }
                if let Some(names) = node.names
                    && !self.name_holds(names, text)
                {
                    holds = self.fails(at, |place| invalid_key(place.name(name)));
                }
            }
            match node.additional {
                Some(NEVER) if !is_known => {
                    // A map with names of a certain form has no fields.
                    let is_map = node.fields.is_empty() && !node.patterns.is_empty();
                    let issue = if is_map { invalid_key } else { words::unknown_field };
                    holds = self.fails(at, |place| issue(place.name(name)));
                }
                Some(field) if !is_known => holds &= self.field_holds(field, name, member, at),
                _ => {}
            }
        }
        holds
    }

    pub(super) fn field_holds(
        &mut self,
        id: NodeId,
        name: &str,
        member: &Value,
        at: Option<&Path<'_>>,
    ) -> bool {
        if id == NEVER {
            return self.fails(at, |place| words::unknown_field(place.name(name)));
        }
        match at {
            Some(at) => self.enter(id, member, Some(&Path::Field(at, name, 0))),
            None => self.enter(id, member, None),
        }
    }

    /// Judges a name. It is not a value of the document, and its address is not remembered.
    fn name_holds(&mut self, id: NodeId, name: &Value) -> bool {
        let remembered = std::mem::take(&mut self.remembered);
        let holds = self.holds(id, name, None);
        self.remembered = remembered;
        holds
    }

    pub(super) fn item_holds(
        &mut self,
        id: NodeId,
        index: usize,
        item: &Value,
        at: Option<&Path<'_>>,
    ) -> bool {
        match at {
            Some(at) => self.enter(id, item, Some(&Path::Index(at, index))),
            None => self.enter(id, item, None),
        }
    }

    pub(super) fn array_holds(
        &mut self,
        node: &'j Node,
        items: &[Value],
        at: Option<&Path<'_>>,
    ) -> bool {
        let mut holds = true;
        if node.items == Some(NEVER) && items.len() > node.prefix.len() {
            let max = node.prefix.len();
            holds = self.fails(at, |place| {
                let words = format!("must have at most {max} items");
                Found::new(place, issue_codes::TOO_LONG, words).with_param("max", max)
            });
        }
        let rest = node.items.filter(|rest| *rest != NEVER);
        for (index, item) in items.iter().enumerate() {
            let Some(id) = node.prefix.get(index).copied().or(rest) else { break };
            holds &= self.item_holds(id, index, item, at);
            if self.is_over(holds, at) {
                return false;
            }
        }
        if node.unique_items && !self.are_unique(items) {
            holds = self.fails(at, |place| {
                Found::new(place, issue_codes::NOT_UNIQUE, "must not have the same item twice")
            });
        }
        if let Some(Contains { node, min, max }) = node.contains {
            let matching = items.iter().filter(|item| self.enter(node, item, None)).count() as u64;
            if !(min..=max).contains(&matching) {
                holds = self.fails(at, |place| {
                    Found::new(place, issue_codes::INVALID, "does not contain what it must")
                });
            }
        }
        holds
    }

    fn are_unique(&mut self, items: &[Value]) -> bool {
        let mut seen = HashSet::with_capacity(items.len());
        items.iter().all(|item| {
            let mut text = String::new();
            write_canonical(item, &mut text);
            self.spend(1 + text.len() / 16) && seen.insert(text)
        })
    }
}

fn invalid_key(place: Place) -> Found {
    Found::new(place, issue_codes::INVALID_KEY, "has a name that is not allowed")
}

/// Writes a value such that equal values have equal texts: fields are sorted, and `1.0` is `1`.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 => {
                text.push_str(&format!("{float:.0}").replace("-0", "0"));
            }
            _ => text.push_str(&number.to_string()),
        },
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (name, member) in members {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(member, text);
                text.push(',');
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}
