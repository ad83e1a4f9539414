//! Judges a document: one walk through the value and the graph of nodes at once.
//!
//! The walk has two modes. Without a [`Path`], it asks for a verdict and ends at the first keyword that fails; with one,
//! it notes what is wrong and goes on. A union is always asked for verdicts, except for the branch that alone can hold.
//!
//! The work is bounded twice. A node to which several paths lead remembers its verdict of each value, so the work is at
//! most the number of nodes times the number of values. And each step is counted, so that a schema with many nodes ends,
//! too: then nothing more is judged, and the document is rejected as not judged to its end.
//!
//! A schema is recursive, and so is the walk: its files call each other.

mod members;
mod unevaluated;
mod unions;

use std::collections::HashMap;

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use self::unevaluated::Judged;
use super::{
    ids::NodeId,
    judge::{Judge, Judgement, Manner},
    node::Node,
    types::members,
    words,
};
use crate::{
    examine::Path,
    issue_codes,
    place::{Found, MAX_ISSUES, Place},
};

/// The deepest document, in levels of objects and lists: what `serde_json` reads.
const MAX_DOCUMENT_DEPTH: usize = 128;

/// How many nodes may be open at once. Each takes less than a kilobyte of stack.
const MAX_OPEN: usize = 768;

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
    pub(super) truncated: bool,
    pub(super) doubts: Vec<(Place, Vec<String>)>,
}

impl Judge {
    /// Judges a document. A valid document takes one walk without an allocation for what it does not need.
    pub(crate) fn judge(&self, document: &Value, manner: Manner) -> Judgement {
        let mut walk = Walk::new(self, manner, document);
        if walk.accepts(document) {
            return Judgement { found: Vec::new(), truncated: false, doubts: Vec::new() };
        }
        walk.explain(document)
    }
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

    pub(super) fn accepts(&mut self, document: &Value) -> bool {
        self.enter(self.judge.root, document, None) && !self.is_exhausted
    }

    /// Notes what is wrong with a document that is not valid.
    pub(super) fn explain(mut self, document: &Value) -> Judgement {
        self.steps = self.steps_again;
        self.is_exhausted = self.is_too_deep;
        self.enter(self.judge.root, document, Some(&Path::Root));
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
            // There is no room for more, and the answer is truncated.
            self.is_exhausted = true;
        }
    }

    /// Notes an issue if issues are noted. Returns false.
    pub(super) fn fails(
        &mut self,
        at: Option<&Path<'_>>,
        issue: impl FnOnce(Place) -> Found,
    ) -> bool {
        if let Some(at) = at {
            self.note(issue(at.to_place()));
        }
        false
    }

    /// Judges a value that is not judged by an outer schema of the same value.
    pub(super) fn enter(&mut self, id: NodeId, value: &Value, at: Option<&Path<'_>>) -> bool {
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
            && self.manner.is_derived
            && self.found.len() > before
        {
            let place = at.to_place();
            let is_doubtful = |found: &Found| {
                [issue_codes::MISSING, issue_codes::UNKNOWN_FIELD].contains(&found.code)
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
    pub(super) fn holds(&mut self, id: NodeId, value: &Value, at: Option<&Path<'_>>) -> bool {
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

    fn judge_one(&mut self, node: &'j Node, value: &Value, at: Option<&Path<'_>>) -> bool {
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

    fn assertions_hold(&mut self, node: &Node, value: &Value, at: Option<&Path<'_>>) -> bool {
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
                // garde's `length` may count bytes, and `minLength` counts characters.
                if let (true, ValidationErrorKind::MinLength { limit }, Some(text)) =
                    (self.manner.is_derived, error.kind(), value.as_str())
                    && text.len() as u64 >= *limit
                {
                    self.truncated = true;
                    continue;
                }
                self.note(words::describe(&error, at.to_place()));
            }
        }
        false
    }

    /// True: one failure is enough, and there was one; or no verdict counts any more.
    pub(super) fn is_over(&self, holds: bool, at: Option<&Path<'_>>) -> bool {
        self.is_exhausted || !holds && at.is_none()
    }

    pub(super) fn fails_by_missing(&mut self, name: &str, at: Option<&Path<'_>>) -> bool {
        self.fails(at, |place| Found::new(place.name(name), issue_codes::MISSING, "is missing"))
    }

    /// The schemas that judge the same value: references, unions and conditions.
    fn same_value_holds(&mut self, node: &'j Node, value: &Value, at: Option<&Path<'_>>) -> bool {
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
