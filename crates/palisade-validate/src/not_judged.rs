//! Without the feature `json-schema` no type has a schema.

use crate::{Validation, place::Found, read::Read};

pub(crate) enum Judge {}

pub(crate) fn judged(_: &str, _: &Validation, _: Option<&Judge>) -> Read<()> {
    Read { value: None, found: Vec::new(), truncated: false }
}

#[allow(clippy::extra_unused_type_parameters)] // with the feature it is the type whose schema judges
pub(crate) fn judged_form<T>(_: &str, _: &Validation, _: Option<&Judge>) -> Vec<Found> {
    Vec::new()
}
