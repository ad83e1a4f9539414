//! A document, its form and its rules: what every part of a request has in common.

use garde::Validate;
use serde::de::DeserializeOwned;

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
        Some(value) => apply_rules(value, text, mode, context),
        // Rules are for values that were read, so they have not been looked at.
        None => Read { value: None, found: seen.found, truncated: true },
    }
}

/// Applies the rules to a value that was read from this text.
pub(crate) fn apply_rules<T>(value: T, text: &str, mode: Mode, context: &T::Context) -> Read<T>
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
    let (mut found, is_inexact) = resolver.into_found();
    found.sort_by(|one, other| one.order.cmp(&other.order));
    Read { value: None, found, truncated: truncated || is_inexact }
}
