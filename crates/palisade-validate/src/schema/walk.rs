//! Judges a document: one walk through the value and the graph of nodes at once.
//!
//! The walk has two modes. Without a [`Trail`], it asks for a verdict and ends at the first keyword that fails; with one,
//! it notes what is wrong and goes on. A union is always asked for verdicts, except for the branch that alone can hold.
//!
//! The work is bounded twice. A node to which several paths lead remembers its verdict of each value, so the work is at
//! most the number of nodes times the number of values. And each step is counted, so that a schema with many nodes ends,
//! too: then nothing more is judged, and the document is rejected as not judged to its end.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    Judge, Judgement, Manner,
    compile::members,
    node::{Node, NodeId, Types},
    trail::Trail,
    unevaluated::Judged,
    union::{Choice, Union},
    words,
};
use crate::{
    issue_codes,
    place::{Found, MAX_ISSUES, Place},
};

/// The deepest document, in levels of objects and lists: what `serde_json` reads.
const MAX_DOCUMENT_DEPTH: usize = 128;

/// How many nodes may be open at once. Each takes less than a kilobyte of stack.
pub(super) const MAX_OPEN: usize = 768;

/// Steps that are free, and steps for each value of the document.
const STEPS: usize = 20_000;
const STEPS_PER_VALUE: usize = 100;

/// The most verdicts that are remembered: 3 MiB.
const MAX_REMEMBERED: usize = 65_536;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Holds,
    Fails,
    /// The issues of this value are noted.
    Noted,
}

pub(super) struct Walk<'j> {
    judge: &'j Judge,
    pub(super) manner: Manner,
    steps: usize,
    /// Steps to explain a document whose verdict has used up its own.
    steps_again: usize,
    pub(super) open: usize,
    is_too_deep: bool,
    /// The steps, or the levels, are used up.
    pub(super) is_exhausted: bool,
    pub(super) remembered: HashMap<(NodeId, *const Value), Verdict>,
    found: Vec<Found>,
    truncated: bool,
    doubts: Vec<(Place, Vec<String>)>,
}

impl<'j> Walk<'j> {
    pub(super) fn new(judge: &'j Judge, manner: Manner, document: &Value) -> Self {
        let (values, is_too_deep) = measure(document);
        let steps = STEPS + STEPS_PER_VALUE * values;
        Self {
            judge,
            manner,
            steps,
            steps_again: steps,
            open: 0,
            is_too_deep,
            is_exhausted: is_too_deep,
            remembered: HashMap::new(),
            found: Vec::new(),
            truncated: false,
            doubts: Vec::new(),
        }
    }

    pub(super) fn is_valid(&mut self, document: &Value) -> bool {
        self.enter(self.judge.root, document, None) && !self.is_exhausted
    }

    /// Notes what is wrong with a document that is not valid.
    pub(super) fn explain(mut self, document: &Value) -> Judgement {
        self.steps = self.steps_again;
        self.is_exhausted = self.is_too_deep;
        self.enter(self.judge.root, document, Some(&Trail::Root));
        if self.is_exhausted {
            self.truncated = true;
            if self.found.is_empty() {
                let words = "is too deep or too intricate to be checked to its end";
                self.found.push(Found::new(Place::default(), issue_codes::INVALID, words));
            }
        }
        Judgement { found: self.found, truncated: self.truncated, doubts: self.doubts }
    }

    #[cfg(test)]
    pub(super) fn steps_left(&self) -> usize {
        self.steps
    }

    pub(super) fn node(&self, id: NodeId) -> &'j Node {
        &self.judge.nodes[id]
    }

    /// False: the steps are used up, and no verdict counts any more.
    pub(super) fn spend(&mut self, steps: usize) -> bool {
        match self.steps.checked_sub(steps) {
            Some(left) => self.steps = left,
            None => self.is_exhausted = true,
        }
        !self.is_exhausted
    }

    pub(super) fn note(&mut self, found: Found) {
        // After the last step each verdict is false, and would be an invented issue.
        if self.is_exhausted || self.found.contains(&found) {
            return;
        }
        if self.found.len() < MAX_ISSUES {
            self.found.push(found);
        } else {
            // There is no room for what may follow.
            self.truncated = true;
            self.is_exhausted = true;
        }
    }

    /// Notes an issue if issues are noted. Returns false.
    pub(super) fn fails(
        &mut self,
        at: Option<&Trail<'_>>,
        issue: impl FnOnce(Place) -> Found,
    ) -> bool {
        if let Some(at) = at {
            self.note(issue(at.place()));
        }
        false
    }

    /// Judges a value that is not judged by an outer schema of the same value.
    pub(super) fn enter(&mut self, id: NodeId, value: &Value, at: Option<&Trail<'_>>) -> bool {
        let before = self.found.len();
        let mut holds = self.holds(id, value, at);
        if let (true, Value::Object(object)) = (self.manner.denies_unknown_fields, value)
            && self.node(id).knows_fields
            && (holds || at.is_some())
        {
            let mut judged = Judged::default();
            self.judged(id, value, &mut judged);
            for name in
                object.keys().filter(|name| !judged.all && !judged.fields.contains(&***name))
            {
                holds = self.fails(at, |place| words::unknown_field(place.name(name)));
            }
        }
        if let (Some(at), Value::Object(object)) = (at, value)
            && self.manner.may_have_aliases
            && self.found.len() > before
        {
            let place = at.place();
            let is_doubtful = |found: &Found| {
                [issue_codes::MISSING, issue_codes::UNKNOWN_FIELD].contains(&&*found.code)
                    && found.place.parent() == Some(&place.0)
            };
            if self.found[before..].iter().any(is_doubtful) {
                let mut judged = Judged::default();
                self.judged(id, value, &mut judged);
                let is_unknown = |name: &&String| !judged.fields.contains(&***name);
                let unknown: Vec<_> = object.keys().filter(is_unknown).cloned().collect();
                if !judged.all && !unknown.is_empty() {
                    self.doubts.push((place, unknown));
                }
            }
        }
        holds
    }

    /// Judges a value by one schema.
    pub(super) fn holds(&mut self, id: NodeId, value: &Value, at: Option<&Trail<'_>>) -> bool {
        let node = self.node(id);
        if !self.spend(1) {
            return false;
        }
        // A schema whose unknown fields are denied is asked again which members it has judged.
        let remembers = node.is_shared || self.manner.denies_unknown_fields && node.has_edges;
        let key = (id, std::ptr::from_ref(value));
        if remembers {
            match self.remembered.get(&key) {
                Some(Verdict::Holds) => return true,
                Some(Verdict::Noted) => return false,
                Some(Verdict::Fails) if at.is_none() => return false,
                _ => {}
            }
        }
        if self.open == MAX_OPEN {
            self.is_exhausted = true;
            return false;
        }
        self.open += 1;
        let holds = self.judge_one(node, value, at);
        self.open -= 1;
        if remembers && !self.is_exhausted && self.remembered.len() < MAX_REMEMBERED {
            let verdict = match (holds, at) {
                (true, _) => Verdict::Holds,
                (false, None) => Verdict::Fails,
                (false, Some(_)) => Verdict::Noted,
            };
            self.remembered.insert(key, verdict);
        }
        holds
    }

    fn judge_one(&mut self, node: &'j Node, value: &Value, at: Option<&Trail<'_>>) -> bool {
        if node.is_never {
            return self
                .fails(at, |place| Found::new(place, issue_codes::INVALID, "is not allowed"));
        }
        if let Some(types) = node.types
            && !types.include(value, self.manner.accepts_integral_floats)
        {
            return self.fails(at, |place| words::wrong_type(place, &types.names()));
        }
        // Each part is judged although another has failed, if issues are noted.
        let mut holds = true;
        let mut and = |it: bool| {
            holds &= it;
            holds || at.is_some()
        };
        let _ = and(self.assertions_hold(node, value, at))
            && and(match value {
                Value::Object(_) => self.object_holds(node, value, at),
                Value::Array(items) => self.array_holds(node, items, at),
                _ => true,
            })
            && and(self.same_value_holds(node, value, at))
            && and(self.unevaluated_holds(node, value, at));
        holds
    }

    fn assertions_hold(&mut self, node: &Node, value: &Value, at: Option<&Trail<'_>>) -> bool {
        if let Value::String(text) = value
            && !self.spend(text.len() / 64)
        {
            return false;
        }
        let Some(assertions) = &node.assertions else { return true };
        if assertions.is_valid(value) {
            return true;
        }
        if let Some(at) = at {
            for error in assertions.iter_errors(value) {
                self.note(words::describe(&error, at.place()));
            }
        }
        false
    }

    /// True: one failure is enough, and there was one; or no verdict counts any more.
    pub(super) fn is_over(&self, holds: bool, at: Option<&Trail<'_>>) -> bool {
        self.is_exhausted || !holds && at.is_none()
    }

    pub(super) fn is_missing(&mut self, name: &str, at: Option<&Trail<'_>>) -> bool {
        self.fails(at, |place| Found::new(place.name(name), issue_codes::MISSING, "is missing"))
    }

    /// The schemas that judge the same value: references, unions and conditions.
    fn same_value_holds(&mut self, node: &'j Node, value: &Value, at: Option<&Trail<'_>>) -> bool {
        let mut holds = true;
        for id in &node.all {
            holds &= self.holds(*id, value, at);
            if self.is_over(holds, at) {
                return false;
            }
        }
        for union in &node.unions {
            holds &= self.union_holds(union, value, at);
            if self.is_over(holds, at) {
                return false;
            }
        }
        for (name, id) in &node.dependent {
            if value.get(name).is_some() {
                holds &= self.holds(*id, value, at);
            }
        }
        if let Some(condition) = &node.condition {
            let test = self.holds(condition.test, value, None);
            let id = if test { condition.then } else { condition.otherwise };
            holds &= self.holds(id, value, at);
        }
        if let Some(id) = node.not
            && self.holds(id, value, None)
        {
            holds = self
                .fails(at, |place| Found::new(place, issue_codes::INVALID, "is not a valid value"));
        }
        holds
    }

    pub(super) fn union_holds(
        &mut self,
        union: &'j Union,
        value: &Value,
        at: Option<&Trail<'_>>,
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
                if let (true, Some(at)) = (self.manner.may_have_aliases && has_object(value), at) {
                    self.doubts.push((at.place(), Vec::new()));
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

/// The number of values of a document, and whether it is too deep to be walked through.
fn measure(document: &Value) -> (usize, bool) {
    let mut values = 0;
    let mut open = vec![(document, 0)];
    while let Some((value, depth)) = open.pop() {
        values += 1;
        if depth > MAX_DOCUMENT_DEPTH {
            return (values, true);
        }
        open.extend(members(value).map(|member| (member, depth + 1)));
    }
    (values, false)
}
