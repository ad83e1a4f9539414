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
    let (broken, mut truncated) = rules::check(&value, context);
    if broken.is_empty() {
        return Read { value: Some(value), found: Vec::new(), truncated };
    }
    // Places are found by reading the document again, so there would be two values.
    drop(value);
    let resolver = Resolver::new(&broken, text.len());
    resolve::<T>(text, mode, &resolver);
    let mut found = resolver.into_found();
    place_by_schema(&mut found, judged());
    found.sort_by(|one, other| one.order.cmp(&other.order));
    // The same rule of several fields, whose places are not known.
    found.dedup_by(|one, other| !one.is_exact && one == other);
    truncated |= found.iter().any(|found| !found.is_exact);
    if mode.only_first {
        truncated |= found.len() > 1;
        found.truncate(1);
    }
    Read { value: None, found, truncated }
}

/// Moves issues to the places at which a schema has the same rule with the same limits. The schema does not know which of
/// its rules garde has found broken, so issues are moved only if there are as many places as issues.
fn place_by_schema(found: &mut [Found], judged: Vec<Found>) {
    let mut rules: Vec<(Found, Vec<Place>)> = Vec::new();
    for judged in judged {
        match rules.iter_mut().find(|(rule, _)| is_same_rule(rule, &judged)) {
            Some((_, places)) => places.push(judged.place),
            None => rules.push((judged.clone(), vec![judged.place])),
        }
    }
    for (rule, mut places) in rules {
        let mut issues: Vec<_> =
            found.iter_mut().filter(|issue| is_same_rule(&rule, issue)).collect();
        // The schema confirms these.
        issues.retain(|issue| {
            let confirmed = places.iter().position(|place| *place == issue.place);
            confirmed.filter(|_| issue.is_exact).map(|at| places.remove(at)).is_none()
        });
        if issues.len() == places.len() {
            for (issue, place) in issues.into_iter().zip(places) {
                (issue.place, issue.is_exact) = (place, true);
            }
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
