//! What visitors expect, and how they are handed texts and numbers.

use std::{borrow::Cow, fmt};

use serde::de::{Error, Expected, Visitor};
use serde_json::Number;

use super::fault::Fault;

/// The name by which `serde_json::value::RawValue` asks for the text of a value.
pub(super) const RAW: &str = "$serde_json::private::RawValue";

/// What a visitor says that it expects.
pub(super) struct Words<'v, V>(pub(super) &'v V);

impl<'t, V: Visitor<'t>> fmt::Display for Words<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Expected::fmt(self.0, f)
    }
}

pub(super) fn visit_text<'t, V: Visitor<'t>>(
    text: Cow<'t, str>,
    visitor: V,
) -> Result<V::Value, Fault> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

/// Hands a number to a visitor as serde_json does.
pub(super) fn visit_number<'t, V: Visitor<'t>>(
    digits: &str,
    visitor: V,
) -> Result<V::Value, Fault> {
    let number = serde_json::from_str::<Number>(digits).ok();
    match number.map(|number| (number.as_u64(), number.as_i64(), number.as_f64())) {
        Some((Some(number), _, _)) => visitor.visit_u64(number),
        Some((_, Some(number), _)) => visitor.visit_i64(number),
        Some((_, _, Some(number))) => visitor.visit_f64(number),
        _ => Err(Fault::custom("a number that is out of range")),
    }
}

/// `NaN` and `inf` are no numbers for a client, and a number must not become infinite.
pub(super) fn is_finite<F: std::str::FromStr + Into<f64>>(digits: &str) -> bool {
    digits.parse::<F>().is_ok_and(|number| number.into().is_finite())
}
