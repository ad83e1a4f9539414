//! A value, its form and its rules: what every part of a request has in common.

use garde::Validate;
use palisade_core::IssueSource;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    examine::{self, Examined, Mode, examine, rounds_for},
    names,
    place::{Findings, Found},
    rules::{self, Broken},
};

/// Reads a value that has been examined, or adds what is wrong with it.
pub(crate) fn examined<T>(
    value: Value,
    size: usize,
    mode: Mode,
    source: IssueSource,
    context: &T::Context,
    findings: &mut Findings,
) -> Option<T>
where
    T: DeserializeOwned + Validate,
{
    let seen: Examined<T> = examine(value, size, mode);
    findings.truncated |= seen.truncated;
    let Some(value) = seen.value else {
        findings.add(source, seen.found);
        return None;
    };
    let (broken, more) = rules::check(&value, context);
    findings.truncated |= more;
    let is_good = seen.found.is_empty() && broken.is_empty();
    let mut found = seen.found;
    // Compared with the form only, of which there is a bounded number: a client chooses how many rules are broken.
    let form = found.len();
    for broken in broken {
        let found_here = placed::<T>(broken, &seen.taken, size, &seen.shapes, mode, context);
        // Where the form is wrong a rule has judged a stand-in.
        if !found[..form].iter().any(|wrong| found_here.place.is_at_or_below(&wrong.place)) {
            found.push(found_here);
        }
    }
    findings.add(source, found);
    is_good.then_some(value)
}

/// Adds the rules that a value breaks, whose form is known to be right.
pub(crate) fn broken<T>(
    broken: Vec<Broken>,
    value: Value,
    size: usize,
    mode: Mode,
    source: IssueSource,
    context: &T::Context,
    findings: &mut Findings,
) where
    T: DeserializeOwned + Validate,
{
    let seen: Examined<T> = examine(value, size, mode);
    let found: Vec<_> = broken
        .into_iter()
        .map(|broken| placed::<T>(broken, &seen.taken, size, &seen.shapes, mode, context))
        .collect();
    findings.add(source, found);
}

fn placed<T>(
    broken: Broken,
    value: &Value,
    size: usize,
    shapes: &examine::Shapes,
    mode: Mode,
    context: &T::Context,
) -> Found
where
    T: DeserializeOwned + Validate,
{
    let mut rounds = rounds_for(size).min(64);
    let mut is_still_broken = |changed: &Value| {
        rounds = rounds.checked_sub(1)?;
        let other: Examined<T> = examine(changed.clone(), size.max(64 * 1024), mode);
        let other = other.value.filter(|_| other.found.is_empty())?;
        let (now, _) = rules::check(&other, context);
        Some(now.iter().any(|rule| rule.path == broken.path))
    };
    let place = names::place_of(&broken.path, value, shapes, &mut is_still_broken);
    broken.at(place)
}
