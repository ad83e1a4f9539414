use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::Missing;

/// Why a type did not take what it was given. Messages say what is expected and never what came.
#[derive(Debug)]
pub(super) enum Fault {
    /// At a place that is still to be added.
    Here {
        code: &'static str,
        message: String,
    },
    /// A field of the struct that is being read, whose place is still to be added.
    MissingHere(&'static str),
    Missing(Missing),
    /// It is in the list of issues already.
    Noted,
}

impl Error for Fault {
    /// The words of a type's own `Deserialize` may well repeat the value, so they are not.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Here { code: "invalid", message: "is not a valid value".to_owned() }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Here { code: "wrong_type", message: format!("must be {expected}") }
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Here { code: "invalid", message: format!("must be {expected}") }
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::Here { code: "wrong_type", message: format!("must be {expected}") }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Here { code: "invalid_option", message: one_of(expected) }
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("is not known; known are {}", expected.join(", "));
        Self::Here { code: "unknown_field", message }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingHere(field)
    }
}

pub(super) fn one_of(options: &[&str]) -> String {
    format!("must be one of {}", options.join(", "))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here { message, .. } => f.write_str(message),
            Self::MissingHere(_) | Self::Missing(_) => f.write_str("a field is missing"),
            Self::Noted => f.write_str("not as expected"),
        }
    }
}

impl std::error::Error for Fault {}
