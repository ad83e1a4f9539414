//! A document, its form and its rules: what every part of a request has in common.

use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    examine::{Mode, examine, resolve},
    names::Resolver,
    place::Found,
    rules,
};

/// The result of reading a document: its value, unless something is wrong with it.
pub(crate) struct Read<T> {
    pub(crate) value: Option<T>,
    pub(crate) found: Vec<Found>,
    /// More may be wrong than was found.
    pub(crate) truncated: bool,
}

/// Reads a text that is valid JSON, and finds what is wrong with it.
pub(crate) fn read<T>(text: &str, mode: Mode, context: &T::Context) -> Read<T>
where
    T: DeserializeOwned + Validate,
{
    let seen = examine::<T>(text, mode);
    match seen.value {
        Some(value) => apply_rules(value, text, mode, context, Vec::new),
        // Rules are for values that were read, so they have not been looked at.
        None => Read { value: None, found: seen.found, truncated: true },
    }
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

/// A schema knows the places of the rules that it can express. It does not know which of them garde has found broken: a
/// place counts if the schema has the same rule with the same limits there.
fn place_by_schema(found: &mut [Found], inexact: &mut [bool], mut judged: Vec<Found>) {
    // garde writes 1.0 as 1.
    let number = |value: &Value| value.as_f64().map_or_else(|| value.clone(), Value::from);
    let is_same = |one: &Found, other: &Found| {
        let same_params = || {
            one.params.len() == other.params.len()
                && one.params.iter().all(|(name, value)| {
                    other.params.get(name).is_some_and(|other| number(other) == number(value))
                })
        };
        one.code == other.code && same_params()
    };
    let mut open = Vec::new();
    for (at, issue) in found.iter().enumerate() {
        let confirmed =
            judged.iter().position(|judged| is_same(judged, issue) && judged.place == issue.place);
        match confirmed {
            Some(known) if !inexact[at] => drop(judged.swap_remove(known)),
            _ => open.push(at),
        }
    }
    for at in open.clone() {
        let rivals = open.iter().filter(|rival| is_same(&found[**rival], &found[at])).count();
        let places = judged.iter().filter(|judged| is_same(judged, &found[at])).count();
        if rivals == places
            && let Some(known) = judged.iter().position(|judged| is_same(judged, &found[at]))
        {
            let known = judged.remove(known);
            found[at].place = known.place;
            inexact[at] = false;
            open.retain(|other| *other != at);
        }
    }
}
