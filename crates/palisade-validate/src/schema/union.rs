//! Which branch of `oneOf` or `anyOf` a value means.
//!
//! A branch is chosen by what excludes all others: the type of the value, a tag (a required field with a constant), the
//! `discriminator` of OpenAPI, or the single key of an externally tagged enum. Only then are the issues of the branch the
//! issues of the value. Where several branches remain, each is asked for its verdict alone.

use serde_json::Value;

use super::{
    compile::members,
    node::{NEVER, Node, NodeId, Types},
    walk::Walk,
    words,
};
use crate::{
    examine::Path,
    issue_codes,
    place::{Found, Place},
};

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
fn is_same(known: &Value, came: &Value) -> bool {
    match (known, came) {
        (Value::Number(known), Value::Number(came)) => {
            known == came || known.as_f64() == came.as_f64()
        }
        _ => known == came,
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

impl<'j> Walk<'j> {
    pub(super) fn union_holds(
        &mut self,
        union: &'j Union,
        value: &Value,
        at: Option<&Path<'_>>,
    ) -> bool {
        let choice = union.choose(value, self.manner.accepts_integral_floats);
        match choice {
            Choice::Branch(branch) => self.holds(union.branches[branch], value, at),
            Choice::Several(branches) => {
                let mut holding = 0;
                for branch in &branches {
                    holding += usize::from(self.holds(union.branches[*branch], value, None));
                    let is_decided = if union.is_exclusive { holding > 1 } else { holding > 0 };
                    if is_decided || self.is_exhausted {
                        break;
                    }
                }
                if holding == 1 || holding > 0 && !union.is_exclusive {
                    return true;
                }
                // What is wrong inside is known of none of the branches.
                self.truncated |= at.is_some() && members(value).next().is_some();
                if let (true, Some(at)) = (self.manner.is_derived && has_object(value), at) {
                    self.doubts.push((at.to_place(), Vec::new()));
                }
                self.fails(at, |place| several(union, place, value, holding))
            }
            Choice::WrongType => {
                self.fails(at, |place| words::wrong_type(place, &union.all_types().names()))
            }
            Choice::MissingTag | Choice::UnknownTag => {
                let Some(tag) = &union.tag else { return false };
                // The other fields belong to a branch that is not known.
                let came = value.get(&tag.name);
                let has_others = members(value).nth(usize::from(came.is_some())).is_some();
                self.truncated |= at.is_some() && has_others;
                let Some(came) = came else { return self.is_missing(&tag.name, at) };
                let options: Vec<_> = tag.values.iter().map(|(known, _)| known.clone()).collect();
                self.fails(at, |place| {
                    let place = place.name(&tag.name);
                    match came.is_string() || !options.iter().all(Value::is_string) {
                        true => words::one_of(place, &options),
                        false => words::wrong_type(place, &["string"]),
                    }
                })
            }
            Choice::UnknownKey => {
                self.truncated |= at.is_some() && members(value).next().is_some();
                self.fails(at, |place| words::one_of(place, &union.all_options()))
            }
        }
    }
}

/// An issue of a value of which no branch, or more than one, holds.
fn several(union: &Union, place: Place, value: &Value, holding: usize) -> Found {
    let is_word = !union.options.is_empty() && members(value).next().is_none();
    if holding > 0 {
        let words = "has more than one of the forms that are allowed";
        Found::new(place, issue_codes::INVALID_OPTION, words)
    } else if is_word && union.all_types().and(Types::OBJECT.with(Types::ARRAY)) == Types::EMPTY {
        words::one_of(place, &union.options)
    } else {
        let words = "has none of the forms that are allowed";
        Found::new(place, issue_codes::INVALID_OPTION, words)
    }
}

/// Returns true if the value is or contains an object.
fn has_object(value: &Value) -> bool {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if value.is_object() {
            return true;
        }
        open.extend(members(value));
    }
    false
}
