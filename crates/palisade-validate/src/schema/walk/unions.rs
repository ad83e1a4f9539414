//! Judges values of unions.

use serde_json::Value;

use super::Walk;
use crate::{
    examine::Path,
    issue_codes,
    place::{Found, Place},
    schema::{
        types::{Types, members},
        union::{Choice, Union},
        words,
    },
};

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
                let Some(came) = came else { return self.fails_by_missing(&tag.name, at) };
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
