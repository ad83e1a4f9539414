use std::fmt;

use serde::de::{Error, Expected, Unexpected};
use serde_json::Value;

use crate::{
    issue_codes,
    place::{Found, Place},
};

/// Why a type did not take what it was given. Messages say what is expected and never what came.
#[derive(Debug)]
pub(super) enum Fault {
    /// At a place that is still to be added.
    Here(Complaint),
    /// A field of the struct that is being read, whose place is still to be added.
    MissingHere(&'static str),
    /// A field is not there.
    Missing(Place, &'static str),
    /// A value that its type refused.
    Refused(Place, Complaint),
    /// A key that its type refused.
    RefusedKey(Place),
    /// Something in this object: serde had read it all before it told the fields apart.
    RefusedWithin(Place, Complaint),
}

#[derive(Clone, Debug)]
pub(super) struct Complaint {
    code: &'static str,
    message: String,
    options: Option<&'static [&'static str]>,
    /// What came, in serde's words. It finds the culprit and is shown to nobody.
    came: Option<String>,
}

impl Complaint {
    fn new(code: &'static str, message: String, came: Option<String>) -> Self {
        Self { code, message, options: None, came }
    }

    pub(super) fn at(&self, place: Place) -> Found {
        let found = Found::new(place, self.code, self.message.clone());
        match self.options {
            Some(options) => found.with_param("options", options.to_vec()),
            None => found,
        }
    }

    /// True if it is about this value.
    pub(super) fn is_about(&self, value: &Value) -> bool {
        let came = match value {
            Value::Null => Unexpected::Unit.to_string(),
            Value::Bool(value) => Unexpected::Bool(*value).to_string(),
            Value::String(text) => Unexpected::Str(text).to_string(),
            Value::Array(_) => Unexpected::Seq.to_string(),
            Value::Object(_) => Unexpected::Map.to_string(),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => Unexpected::Unsigned(number).to_string(),
                (_, Some(number), _) => Unexpected::Signed(number).to_string(),
                (_, _, number) => Unexpected::Float(number.unwrap_or_default()).to_string(),
            },
        };
        self.came.as_ref().is_none_or(|about| *about == came)
    }

    pub(super) fn first_option(&self) -> Option<&'static str> {
        self.options?.first().copied()
    }

    pub(super) fn is_unknown_field(&self) -> bool {
        self.code == issue_codes::UNKNOWN_FIELD
    }

    pub(super) fn names_what_came(&self) -> bool {
        self.came.is_some()
    }
}

const INTEGER: &str = "must be an integer from ";

impl Error for Fault {
    /// The words of a type's own `Deserialize` may well repeat the value, so they are not.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Here(Complaint::new(issue_codes::INVALID, "is not a valid value".to_owned(), None))
    }

    fn invalid_type(came: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let message = format!("must be {}", in_plain_words(&expected.to_string()));
        Self::Here(Complaint::new(issue_codes::WRONG_TYPE, message, Some(came.to_string())))
    }

    fn invalid_value(came: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let message = format!("must be {}", in_plain_words(&expected.to_string()));
        // A number that is too large for its type is one of another type, as where no struct is flattened.
        let code = if message.starts_with(INTEGER) {
            issue_codes::WRONG_TYPE
        } else {
            issue_codes::INVALID
        };
        Self::Here(Complaint::new(code, message, Some(came.to_string())))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        let message = format!("must be {}", in_plain_words(&expected.to_string()));
        Self::Here(Complaint::new(
            issue_codes::WRONG_TYPE,
            message,
            Some(Unexpected::Seq.to_string()),
        ))
    }

    fn unknown_variant(came: &str, expected: &'static [&'static str]) -> Self {
        let came = Unexpected::Str(came).to_string();
        let mut complaint =
            Complaint::new(issue_codes::INVALID_OPTION, one_of(expected), Some(came));
        complaint.options = Some(expected);
        Self::Here(complaint)
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Here(Complaint::new(issue_codes::UNKNOWN_FIELD, unknown_field(expected), None))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingHere(field)
    }
}

pub(super) fn one_of(options: &[&str]) -> String {
    format!("must be one of {}", options.join(", "))
}

pub(super) fn unknown_field(known: &[&str]) -> String {
    if known.is_empty() {
        "is not known; no fields are".to_owned()
    } else {
        format!("is not known; known are {}", known.join(", "))
    }
}

/// What serde's derive says it expects is about Rust and names its types. A client is told what that is in JSON.
fn in_plain_words(expected: &str) -> String {
    macro_rules! integer {
        ($($number:ident)*) => {
            match expected {
                $(stringify!($number) => {
                    return format!("an integer from {} to {}", $number::MIN, $number::MAX);
                })*
                _ => {}
            }
        };
    }
    integer!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
    let words = expected.split_whitespace().next().unwrap_or_default();
    match expected {
        "f32" | "f64" => "a number",
        "a boolean" | "bool" => "true or false",
        "a map" => "an object",
        "a sequence" => "a list",
        "a character" | "char" => "a single character",
        "unit" => "null",
        "a borrowed string" | "string or map" => "a string",
        _ if expected.contains("enum") => "one of the forms that are allowed",
        _ if words == "unit" => "null",
        _ if expected.ends_with(" variant") => "an object",
        _ if expected.starts_with("a nonzero ") => "an integer other than 0",
        _ if words == "tuple" || expected.starts_with("a tuple") => "a list of another length",
        _ if words == "struct" || words == "variant" => "an object",
        _ if expected.contains("::") => "another value",
        _ => expected,
    }
    .to_owned()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not as expected")
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_of_ours_is_named() {
        for (serdes, ours) in [
            ("struct Order", "an object"),
            ("struct variant Shape::Circle", "an object"),
            ("variant identifier", "an object"),
            ("tuple struct Pair with 2 elements", "a list of another length"),
            ("internally tagged enum Shape", "one of the forms that are allowed"),
            ("unit variant Shape::Dot", "null"),
            ("newtype variant", "an object"),
            ("tuple variant", "an object"),
            ("tuple variant Shape::Line", "a list of another length"),
            ("a nonzero u8", "an integer other than 0"),
            ("my_crate::Thing", "another value"),
            ("u8", "an integer from 0 to 255"),
            ("a formatted UUID string", "a formatted UUID string"),
        ] {
            assert_eq!(in_plain_words(serdes), ours, "{serdes}");
        }
    }
}
