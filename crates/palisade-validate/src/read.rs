//! A document, its form and its rules: what every part of a request has in common.

use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    examine::{Mode, resolve},
    names::Resolver,
    place::{Found, Place},
    rules,
};

/// The result of reading a document: its value, unless something is wrong with it.
pub(crate) struct Read<T> {
    pub(crate) value: Option<T>,
    pub(crate) found: Vec<Found>,
    /// More may be wrong than was found.
    pub(crate) truncated: bool,
}

/// Applies the rules to a value that was read from this text. `judged` returns what the schema of the type, if it has one,
/// says about the text.
pub(crate) fn apply_rules<T>(
    value: T,
    text: &str,
    mode: Mode,
    context: &T::Context,
    judged: impl FnOnce() -> Vec<Found>,
) -> Read<T>
where
    T: DeserializeOwned + Validate,
{
    let (mut broken, mut truncated) = rules::check(&value, context);
    if broken.is_empty() {
        return Read { value: Some(value), found: Vec::new(), truncated };
    }
    // Places are found by reading the document again, so there would be two values.
    drop(value);
    if mode.only_first {
        truncated |= broken.len() > 1;
        broken.truncate(1);
    }
    let resolver = Resolver::new(&broken, text.len());
    resolve::<T>(text, mode, &resolver);
    let (mut found, mut inexact) = resolver.into_found();
    place_by_schema(&mut found, &mut inexact, judged());
    // The same rule of several fields, none of which is known.
    let mut at = 0;
    let mut seen: Vec<Found> = Vec::new();
    found.retain(|found| {
        at += 1;
        let is_new = !inexact[at - 1] || !seen.contains(found);
        if inexact[at - 1] {
            seen.push(found.clone());
        }
        is_new
    });
    let is_inexact = inexact.contains(&true);
    found.sort_by(|one, other| one.order.cmp(&other.order));
    Read { value: None, found, truncated: truncated || is_inexact }
}

/// Moves issues to the places at which a schema has the same rule with the same limits. The schema does not know which of
/// its rules garde has found broken, so issues are moved only if there are as many places as issues.
fn place_by_schema(found: &mut [Found], inexact: &mut [bool], judged: Vec<Found>) {
    if judged.is_empty() {
        return;
    }
    let mut rules: Vec<(Found, Vec<usize>, Vec<Place>)> = Vec::new();
    for judged in judged {
        let at = rules.iter().position(|(rule, ..)| is_same_rule(rule, &judged));
        let at = at.unwrap_or_else(|| {
            rules.push((judged.clone(), Vec::new(), Vec::new()));
            rules.len() - 1
        });
        rules[at].2.push(judged.place);
    }
    for (at, issue) in found.iter().enumerate() {
        let rule = rules.iter_mut().find(|(rule, ..)| is_same_rule(rule, issue));
        let Some((_, issues, places)) = rule else { continue };
        match places.iter().position(|place| *place == issue.place && !inexact[at]) {
            Some(confirmed) => drop(places.remove(confirmed)),
            None => issues.push(at),
        }
    }
    for (_, issues, places) in rules.into_iter().filter(|(_, one, other)| one.len() == other.len())
    {
        for (at, place) in issues.into_iter().zip(places) {
            found[at].place = place;
            inexact[at] = false;
        }
    }
}

fn is_same_rule(one: &Found, other: &Found) -> bool {
    // garde writes 1.0 as 1.
    let is_same = |one: &Value, other: &Value| match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    };
    one.code == other.code
        && one.params.len() == other.params.len()
        && one
            .params
            .iter()
            .all(|(name, value)| other.params.get(name).is_some_and(|other| is_same(value, other)))
}
