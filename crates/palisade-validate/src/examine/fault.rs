use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use serde_json::Number;

use crate::{
    issue_codes::{self, Code},
    place::{Found, Place},
};

/// The reason for which a type stopped reading.
#[derive(Debug)]
pub(super) enum Fault {
    /// The type rejected the value that is being read, or something in it.
    Here(Box<Complaint>),
    /// A field of the object that is being read is missing.
    Missing(&'static str),
    /// A field of the object that is being read came twice, by an alias.
    Duplicate,
    /// The reason has been noted, with its place.
    Noted,
}

/// What a type said about a value. Messages contain what is expected and never what the client sent.
#[derive(Clone, Debug)]
pub(super) struct Complaint {
    code: Code,
    message: String,
    param: Option<(&'static str, serde_json::Value)>,
    /// The type's own words, which may repeat the value.
    own: Option<String>,
    /// What came, in serde's words: finds the text that was read as the wrong kind, and is never shown. `None` if the words are
    /// those of a type of the service, which may have changed the value before it complained.
    came: Option<String>,
    /// The name of an unknown variant, which such a type may have changed as well.
    variant: Option<String>,
}

impl Complaint {
    fn new(code: Code, message: String) -> Self {
        Self { code, message, param: None, own: None, came: None, variant: None }
    }

    fn expecting(code: Code, came: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let words = in_plain_words(&expected);
        let is_of_serde = expected == "a string" || words != expected && words != OTHER;
        let mut complaint = Self::new(code, format!("must be {words}"));
        if code == issue_codes::WRONG_TYPE {
            complaint.param = Some(("expected", kind_named(&words).into()));
        }
        complaint.came = is_of_serde.then(|| came.to_string());
        complaint
    }

    pub(super) fn at(self, place: Place, shows_own_words: bool) -> Found {
        let message = self.own.filter(|_| shows_own_words).unwrap_or(self.message);
        let found = Found::new(place, self.code, message);
        match self.param {
            Some((name, value)) => found.with_param(name, value),
            None => found,
        }
    }

    pub(super) fn is_unknown_field(&self) -> bool {
        self.code == issue_codes::UNKNOWN_FIELD
    }

    /// The kind of JSON value that is expected.
    pub(super) fn expected(&self) -> Option<&str> {
        self.param.as_ref().filter(|(name, _)| *name == "expected")?.1.as_str()
    }

    /// True if this is the value, in JSON, that came.
    pub(super) fn is_about(&self, raw: &str) -> bool {
        let came = match serde_json::from_str::<Number>(raw) {
            Ok(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => Unexpected::Unsigned(number).to_string(),
                (_, Some(number), _) => Unexpected::Signed(number).to_string(),
                (_, _, number) => Unexpected::Float(number.unwrap_or_default()).to_string(),
            },
            Err(_) => match raw.as_bytes().first() {
                Some(b'"') => {
                    let text = serde_json::from_str::<String>(raw).unwrap_or_default();
                    return self.is_about_text(&text);
                }
                Some(b'{') => Unexpected::Map.to_string(),
                Some(b'[') => Unexpected::Seq.to_string(),
                Some(b't') => Unexpected::Bool(true).to_string(),
                Some(b'f') => Unexpected::Bool(false).to_string(),
                _ => Unexpected::Unit.to_string(),
            },
        };
        self.came.as_ref() == Some(&came)
    }

    /// True if this text came. Each text that contains the name of an unknown variant may be the one.
    pub(super) fn is_about_text(&self, text: &str) -> bool {
        match &self.variant {
            Some(name) => text.to_lowercase().contains(&name.to_lowercase()),
            None => self.came.as_ref() == Some(&Unexpected::Str(text).to_string()),
        }
    }
}

impl Error for Fault {
    fn custom<T: fmt::Display>(words: T) -> Self {
        let mut complaint = Complaint::new(issue_codes::INVALID, "is not a valid value".to_owned());
        complaint.own = Some(words.to_string());
        Self::Here(Box::new(complaint))
    }

    fn invalid_type(came: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Here(Box::new(Complaint::expecting(issue_codes::WRONG_TYPE, came, expected)))
    }

    fn invalid_value(came: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // A number that is too large for its type has the wrong type, as in a struct that is read directly.
        let is_range = in_plain_words(&expected.to_string()).starts_with("an integer from ");
        let code = if is_range { issue_codes::WRONG_TYPE } else { issue_codes::INVALID };
        Self::Here(Box::new(Complaint::expecting(code, came, expected)))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::Here(Box::new(Complaint::expecting(
            issue_codes::WRONG_TYPE,
            Unexpected::Seq,
            expected,
        )))
    }

    fn unknown_variant(came: &str, expected: &'static [&'static str]) -> Self {
        let mut complaint = Complaint::new(issue_codes::INVALID_OPTION, one_of(expected));
        complaint.variant = Some(came.to_owned());
        complaint.param = Some(("options", expected.to_vec().into()));
        Self::Here(Box::new(complaint))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Here(Box::new(Complaint::new(issue_codes::UNKNOWN_FIELD, unknown_field(expected))))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self::Duplicate
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

/// Names the kind of JSON value that is expected, for programs.
fn kind_named(words: &str) -> &str {
    let is = |start: &str| words.starts_with(start);
    match words {
        _ if is("an integer") => "integer",
        _ if is("a number") => "number",
        _ if is("true or false") => "boolean",
        _ if is("an object") => "object",
        _ if is("a list") || is("an array") || is("an empty array") => "array",
        _ if words.contains("string") || words.contains("address") || is("a single character") => {
            "string"
        }
        _ => words,
    }
}

/// The words for a type that has none of its own.
const OTHER: &str = "another value";

/// Translates serde's words for what it expects, which name Rust's types, into those of JSON.
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
        _ if expected.contains("::") => OTHER,
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
    fn messages_contain_no_rust_type_names() {
        for (serdes, ours, kind) in [
            ("struct Order", "an object", "object"),
            ("struct variant Shape::Circle", "an object", "object"),
            ("variant identifier", "an object", "object"),
            ("tuple struct Pair with 2 elements", "a list of another length", "array"),
            (
                "internally tagged enum Shape",
                "one of the forms that are allowed",
                "one of the forms that are allowed",
            ),
            ("unit variant Shape::Dot", "null", "null"),
            ("newtype variant", "an object", "object"),
            ("tuple variant Shape::Line", "a list of another length", "array"),
            ("a nonzero u8", "an integer other than 0", "integer"),
            ("my_crate::Thing", "another value", "another value"),
            ("u8", "an integer from 0 to 255", "integer"),
            ("a formatted UUID string", "a formatted UUID string", "string"),
        ] {
            let words = in_plain_words(serdes);
            assert_eq!((&*words, kind_named(&words)), (ours, kind), "{serdes}");
        }
    }
}
