//! The types of JSON values, and the values inside of others.

use std::fmt;

use serde_json::{Number, Value};

use crate::settings::MAX_EXACT;

/// A set of JSON types.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

/// In the order in which the types are listed for clients.
const NAMES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

impl Types {
    pub(super) const ARRAY: Self = Self(1);
    const BOOLEAN: Self = Self(1 << 1);
    const INTEGER: Self = Self(1 << 2);
    const NULL: Self = Self(1 << 3);
    const NUMBER: Self = Self(1 << 4);
    pub(super) const OBJECT: Self = Self(1 << 5);
    pub(super) const STRING: Self = Self(1 << 6);
    pub(super) const ALL: Self = Self(0x7f);
    pub(super) const EMPTY: Self = Self(0);

    /// Returns the type with this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).map(|at| Self(1 << at))
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The types in both sets. An integer is a number.
    pub(super) fn and(self, other: Self) -> Self {
        let widened = |types: Self| {
            if types.has(Self::NUMBER) { types.with(Self::INTEGER) } else { types }
        };
        Self(widened(self).0 & widened(other).0)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn names(self) -> Vec<&'static str> {
        let has = |at: &usize| {
            // `number` covers `integer`.
            self.0 & (1 << at) != 0 && !(Self(1 << at) == Self::INTEGER && self.has(Self::NUMBER))
        };
        (0..NAMES.len()).filter(has).map(|at| NAMES[at]).collect()
    }

    /// Returns true if the value has one of these types.
    pub(super) fn include(self, value: &Value, accepts_integral_floats: bool) -> bool {
        match value {
            Value::Object(_) => self.has(Self::OBJECT),
            Value::Array(_) => self.has(Self::ARRAY),
            Value::String(_) => self.has(Self::STRING),
            Value::Bool(_) => self.has(Self::BOOLEAN),
            Value::Null => self.has(Self::NULL),
            Value::Number(number) => {
                self.has(Self::NUMBER)
                    || self.has(Self::INTEGER) && is_integer(number, accepts_integral_floats)
            }
        }
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Returns true for an integer. Integers beyond 64 bits are floats in `serde_json`, so a float without a fraction in that
/// range always counts; `62.0` counts if the settings accept it.
fn is_integer(number: &Number, accepts_integral_floats: bool) -> bool {
    const BEYOND_U64: f64 = 18_446_744_073_709_551_616.0;
    const LEAST_I64: f64 = -9_223_372_036_854_775_808.0;
    if number.is_i64() || number.is_u64() {
        return true;
    }
    number.as_f64().is_some_and(|float| {
        let is_wide = !(LEAST_I64..BEYOND_U64).contains(&float);
        float.fract() == 0.0 && (is_wide || accepts_integral_floats && float.abs() < MAX_EXACT)
    })
}

/// The values directly inside a value.
pub(super) fn members(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(object) => Box::new(object.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}
