//! A value, its form and its rules: what every part of a request has in common.

use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    examine::{Examined, Mode, Shapes, examine, rounds_for},
    names::Names,
    place::Found,
    rules::{self, Broken},
};

/// What came of reading a value: itself, unless something is wrong with it.
pub(crate) struct Read<T> {
    pub(crate) value: Option<T>,
    pub(crate) found: Vec<Found>,
    pub(crate) truncated: bool,
}

/// Reads a value and finds what is wrong with it.
pub(crate) fn examined<T>(value: Value, size: usize, mode: Mode, context: &T::Context) -> Read<T>
where
    T: DeserializeOwned + Validate,
{
    let seen: Examined<T> = examine(value, size, mode);
    let Some(value) = seen.value else {
        return Read { value: None, found: seen.found, truncated: seen.truncated };
    };
    let (broken, more) = rules::check(&value, context);
    let is_good = seen.found.is_empty() && broken.is_empty();
    let mut found = seen.found;
    // Compared with the form only, of which there is a bounded number: a client chooses how many rules are broken.
    let form = found.len();
    for broken in placed::<T>(broken, &seen.shapes, &seen.taken, size, mode, context) {
        // Where the form is wrong a rule has judged a stand-in.
        if !found[..form].iter().any(|wrong| broken.place.is_at_or_below(&wrong.place)) {
            found.push(broken);
        }
    }
    Read { value: is_good.then_some(value), found, truncated: seen.truncated || more }
}

/// Says where rules are broken in a value whose form is known to be right.
pub(crate) fn broken<T>(
    broken: Vec<Broken>,
    value: Value,
    size: usize,
    mode: Mode,
    context: &T::Context,
) -> Vec<Found>
where
    T: DeserializeOwned + Validate,
{
    let seen: Examined<T> = examine(value, size, mode);
    placed::<T>(broken, &seen.shapes, &seen.taken, size, mode, context)
}

/// How many other values are tried for one request, to find what a field is called.
const MAX_TRIES: usize = 64;

/// Says where on the wire rules are broken.
fn placed<T>(
    broken: Vec<Broken>,
    shapes: &Shapes,
    taken: &Value,
    size: usize,
    mode: Mode,
    context: &T::Context,
) -> Vec<Found>
where
    T: DeserializeOwned + Validate,
{
    let mut names = Names::new(taken, shapes);
    let mut tries = rounds_for(size).min(MAX_TRIES);
    let place = |broken: Broken| {
        let mut is_still_broken = |changed: &Value| {
            tries = tries.checked_sub(1)?;
            // One round: what would need another is no value that keeps the form.
            let other: Examined<T> = examine(changed.clone(), usize::MAX, mode);
            let other = other.value.filter(|_| other.found.is_empty())?;
            let (now, _) = rules::check(&other, context);
            Some(now.iter().any(|rule| rule.path == broken.path))
        };
        let place = names.place_of(&broken.path, &mut is_still_broken);
        broken.at(place)
    };
    broken.into_iter().map(place).collect()
}
