//! Finds everything that is wrong with the form of a value, where serde stops at the first thing.
//!
//! A type asks its deserializer for what it wants: a number, a text, a struct with these fields. Where the value is
//! something else, [`Examiner`](examiner::Examiner) notes it and gives the type a stand-in of the kind it asked for, so
//! that it goes on asking. A field that is missing cannot be stood in for as it happens, so the type is asked again,
//! with a stand-in for that field. What comes of stand-ins is thrown away; only the notes are kept.

mod examiner;
mod fault;
mod path;

use std::cell::RefCell;

use palisade_core::Issue;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::{examiner::Examiner, fault::Fault, path::Path};
use crate::rules::is_at_or_below;

/// The most issues that are listed.
pub(crate) const MAX_ISSUES: usize = 64;

/// How many bytes of input are gone through for one request, in all rounds together: a large body that lacks many
/// fields must not cost many times its size.
const MAX_WORK: usize = 2 * 1024 * 1024;

/// Examines JSON: types are as they are. `size` is that of the text it came from.
pub(crate) fn json<T: DeserializeOwned>(value: &Value, size: usize) -> (Option<T>, Vec<Issue>) {
    examine(value, size, false)
}

/// Examines an object of texts, which become numbers and the like where the type asks for them.
pub(crate) fn text<T: DeserializeOwned>(value: &Value, size: usize) -> (Option<T>, Vec<Issue>) {
    examine(value, size, true)
}

/// What is said where nothing more precise is known.
pub(crate) fn not_as_expected() -> Issue {
    Issue::new("", "invalid", "does not have the expected form")
}

/// A field that is not there.
#[derive(Debug, PartialEq, Eq)]
struct Missing {
    parent: String,
    field: &'static str,
}

impl Missing {
    fn path(&self) -> String {
        if self.parent.is_empty() {
            self.field.to_owned()
        } else {
            format!("{}.{}", self.parent, self.field)
        }
    }
}

/// One round of asking.
struct Round<'a> {
    coerces_text: bool,
    /// The fields that earlier rounds found missing.
    missing: &'a [Missing],
    issues: RefCell<Vec<Issue>>,
}

impl Round<'_> {
    fn note(&self, issue: Issue) {
        let mut issues = self.issues.borrow_mut();
        if issues.len() < MAX_ISSUES {
            issues.push(issue);
        }
    }
}

/// The value, if one came out of it, and all that is wrong with it. A value that comes with issues is made of stand-ins
/// where they are.
fn examine<T: DeserializeOwned>(
    value: &Value,
    size: usize,
    coerces_text: bool,
) -> (Option<T>, Vec<Issue>) {
    let rounds = (MAX_WORK / size.max(1)).clamp(1, MAX_ISSUES);
    let mut missing = Vec::new();
    loop {
        let round = Round { coerces_text, missing: &missing, issues: RefCell::default() };
        let outcome = T::deserialize(Examiner::new(Some(value), &Path::Root, &round));
        let issues = round.issues.into_inner();
        match outcome {
            Err(Fault::Missing(found)) if !missing.contains(&found) && missing.len() < rounds => {
                missing.push(found);
            }
            outcome => return (outcome.ok(), with_missing(issues, &missing)),
        }
    }
}

/// Adds the fields that are missing, but for those inside something that is not there or of another type altogether.
fn with_missing(mut issues: Vec<Issue>, missing: &[Missing]) -> Vec<Issue> {
    let wrong: Vec<_> = issues.iter().map(|issue| issue.path.clone()).collect();
    for field in missing {
        let inside_wrong = wrong.iter().any(|wrong| is_at_or_below(&field.parent, wrong));
        let inside_missing =
            missing.iter().any(|other| is_at_or_below(&field.parent, &other.path()));
        if !inside_wrong && !inside_missing && issues.len() < MAX_ISSUES {
            issues.push(Issue::new(field.path(), "missing", "is missing"));
        }
    }
    issues
}
