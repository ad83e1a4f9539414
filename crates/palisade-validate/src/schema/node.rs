//! A compiled schema: a graph of nodes, in which a reference is an edge.

use std::{collections::HashMap, fmt};

use jsonschema::Validator;
use serde_json::{Number, Value};

use super::union::Union;
use crate::json::MAX_EXACT;

/// The index of a node.
pub(super) type NodeId = usize;

/// The node of the schema `true`, which every value satisfies.
pub(super) const ANY: NodeId = 0;

/// The node of the schema `false`, which no value satisfies.
pub(super) const NEVER: NodeId = 1;

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

/// A set of JSON types.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

/// In the order in which the types are listed for clients.
const NAMES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

impl Types {
    pub(super) const ARRAY: Self = Self(1);
    const BOOLEAN: Self = Self(1 << 1);
    const INTEGER: Self = Self(1 << 2);
    const NULL: Self = Self(1 << 3);
    const NUMBER: Self = Self(1 << 4);
    pub(super) const OBJECT: Self = Self(1 << 5);
    pub(super) const STRING: Self = Self(1 << 6);
    pub(super) const ALL: Self = Self(0x7f);
    pub(super) const EMPTY: Self = Self(0);

    /// Returns the type with this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).map(|at| Self(1 << at))
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The types in both sets. An integer is a number.
    pub(super) fn and(self, other: Self) -> Self {
        let widened = |types: Self| {
            if types.has(Self::NUMBER) { types.with(Self::INTEGER) } else { types }
        };
        Self(widened(self).0 & widened(other).0)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn names(self) -> Vec<&'static str> {
        let has = |at: &usize| {
            // `number` covers `integer`.
            self.0 & (1 << at) != 0 && !(Self(1 << at) == Self::INTEGER && self.has(Self::NUMBER))
        };
        (0..NAMES.len()).filter(has).map(|at| NAMES[at]).collect()
    }

    /// Returns true if the value has one of these types.
    pub(super) fn include(self, value: &Value, accepts_integral_floats: bool) -> bool {
        match value {
            Value::Object(_) => self.has(Self::OBJECT),
            Value::Array(_) => self.has(Self::ARRAY),
            Value::String(_) => self.has(Self::STRING),
            Value::Bool(_) => self.has(Self::BOOLEAN),
            Value::Null => self.has(Self::NULL),
            Value::Number(number) => {
                self.has(Self::NUMBER)
                    || self.has(Self::INTEGER) && is_integer(number, accepts_integral_floats)
            }
        }
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Returns true for an integer. Integers beyond 64 bits are floats in `serde_json`, so a float without a fraction in that
/// range always counts; `62.0` counts if the settings accept it.
fn is_integer(number: &Number, accepts_integral_floats: bool) -> bool {
    const BEYOND_U64: f64 = 18_446_744_073_709_551_616.0;
    const LEAST_I64: f64 = -9_223_372_036_854_775_808.0;
    if number.is_i64() || number.is_u64() {
        return true;
    }
    number.as_f64().is_some_and(|float| {
        let is_wide = !(LEAST_I64..BEYOND_U64).contains(&float);
        float.fract() == 0.0 && (is_wide || accepts_integral_floats && float.abs() < MAX_EXACT)
    })
}
