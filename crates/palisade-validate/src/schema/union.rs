//! Which branch of `oneOf` or `anyOf` a value means.
//!
//! A branch is chosen by what excludes all others: the type of the value, a tag (a required field with a constant), the
//! `discriminator` of OpenAPI, or the single key of an externally tagged enum. Only then are the issues of the branch the
//! issues of the value. Where several branches remain, each is asked for its verdict alone.

use serde_json::Value;

use super::{ids::NodeId, types::Types};

/// `oneOf` or `anyOf`.
pub(super) struct Union {
    pub(super) branches: Vec<NodeId>,
    /// `oneOf`: a value that satisfies two branches is invalid.
    pub(super) is_exclusive: bool,
    /// The types of each branch.
    pub(super) types: Vec<Types>,
    pub(super) tag: Option<Tag>,
    /// The key of each externally tagged variant, with its branch.
    pub(super) keys: Vec<(String, usize)>,
    /// The constants of the branches that are nothing but constants.
    pub(super) options: Vec<Value>,
}

/// A field whose value selects the branch.
#[derive(Clone)]
pub(super) struct Tag {
    pub(super) name: String,
    /// A value of the field, and its branch.
    pub(super) values: Vec<(Value, usize)>,
}

/// The outcome of looking at a value without judging it.
pub(super) enum Choice {
    /// No other branch can hold.
    Branch(usize),
    /// Several may hold.
    Several(Vec<usize>),
    /// The value has a type that no branch has.
    WrongType,
    MissingTag,
    UnknownTag,
    /// An object without a key of a variant.
    UnknownKey,
}

impl Union {
    /// A union whose branches are not looked into yet. `tag` is that of a `discriminator`.
    pub(super) fn new(branches: Vec<NodeId>, is_exclusive: bool, tag: Option<Tag>) -> Self {
        let (types, keys, options) = (Vec::new(), Vec::new(), Vec::new());
        Self { branches, is_exclusive, types, tag, keys, options }
    }

    /// Chooses by the value's type and tag.
    pub(super) fn choose(&self, value: &Value, accepts_integral_floats: bool) -> Choice {
        if let Value::Object(object) = value {
            if let Some(tag) = &self.tag {
                let Some(came) = object.get(&tag.name) else { return Choice::MissingTag };
                let known = tag.values.iter().find(|(known, _)| is_same(known, came));
                return known.map_or(Choice::UnknownTag, |(_, branch)| Choice::Branch(*branch));
            }
            if !self.keys.is_empty() {
                let known = self.keys.iter().find(|(key, _)| object.contains_key(key));
                return known.map_or(Choice::UnknownKey, |(_, branch)| Choice::Branch(*branch));
            }
        }
        let fits = |at: &usize| self.types[*at].include(value, accepts_integral_floats);
        let fitting: Vec<_> = (0..self.branches.len()).filter(fits).collect();
        match fitting[..] {
            [] => Choice::WrongType,
            [branch] => Choice::Branch(branch),
            _ => Choice::Several(fitting),
        }
    }

    /// The types of all branches.
    pub(super) fn all_types(&self) -> Types {
        self.types.iter().fold(Types::EMPTY, |all, types| all.with(*types))
    }

    /// What a client may write in place of the value: constants and the keys of variants.
    pub(super) fn all_options(&self) -> Vec<Value> {
        let keys = self.keys.iter().map(|(key, _)| Value::from(key.as_str()));
        self.options.iter().cloned().chain(keys).collect()
    }
}

/// Numbers are the same if their values are: `1` and `1.0`.
pub(super) fn is_same(known: &Value, came: &Value) -> bool {
    match (known, came) {
        (Value::Number(known), Value::Number(came)) => {
            known == came || known.as_f64() == came.as_f64()
        }
        _ => known == came,
    }
}
