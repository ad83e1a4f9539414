//! The codes, parameters and words of the keywords that the library judges. None repeats the value, nor the pattern that
//! it does not match.

use jsonschema::error::{ValidationError, ValidationErrorKind as Kind};
use serde_json::Value;

use super::formats;
use crate::{
    issue_codes::{self, Code},
    place::{Found, Place},
    rules,
};

/// Describes an error at its place.
pub(super) fn describe(error: &ValidationError<'_>, place: Place) -> Found {
    let bound = |code: Code, words: String, name: &str, limit: Value| {
        Found::new(place.clone(), code, words).with_param(name, limit)
    };
    let least = |limit: &u64, unit: &str| {
        let words = format!("must have {unit}");
        bound(issue_codes::TOO_SHORT, words, "min", (*limit).into())
    };
    let most = |limit: &u64, unit: &str| {
        let words = format!("must have {unit}");
        bound(issue_codes::TOO_LONG, words, "max", (*limit).into())
    };
    match error.kind() {
        Kind::MinLength { limit } => least(limit, &format!("a length of at least {limit}")),
        Kind::MaxLength { limit } => most(limit, &format!("a length of at most {limit}")),
        Kind::MinItems { limit } => least(limit, &format!("at least {limit} items")),
        Kind::MaxItems { limit } => most(limit, &format!("at most {limit} items")),
        Kind::MinProperties { limit } => least(limit, &format!("at least {limit} fields")),
        Kind::MaxProperties { limit } => most(limit, &format!("at most {limit} fields")),
        Kind::Minimum { limit } => {
            bound(issue_codes::TOO_SMALL, format!("must be at least {limit}"), "min", limit.clone())
        }
        Kind::Maximum { limit } => {
            bound(issue_codes::TOO_BIG, format!("must be at most {limit}"), "max", limit.clone())
        }
        Kind::ExclusiveMinimum { limit } => bound(
            issue_codes::TOO_SMALL,
            format!("must be more than {limit}"),
            "above",
            limit.clone(),
        ),
        Kind::ExclusiveMaximum { limit } => bound(
            issue_codes::TOO_BIG,
            format!("must be less than {limit}"),
            "below",
            limit.clone(),
        ),
        Kind::MultipleOf { multiple_of } => bound(
            issue_codes::NOT_MULTIPLE_OF,
            format!("must be a multiple of {multiple_of}"),
            "of",
            rules::limit(multiple_of),
        ),
        Kind::Enum { options } => {
            one_of(place, options.as_array().map(Vec::as_slice).unwrap_or_default())
        }
        Kind::Constant { expected_value } => one_of(place, std::slice::from_ref(expected_value)),
        Kind::Format { format } => {
            let (code, words) = formats::describe(format);
            bound(code, words, "format", format.as_str().into())
        }
        Kind::Pattern { .. } => {
            Found::new(place, issue_codes::INVALID_FORMAT, "does not have the expected format")
        }
        _ => Found::new(place, issue_codes::INVALID, "is not a valid value"),
    }
}

/// Returns the issue of a value that is not one of the options.
pub(super) fn one_of(place: Place, options: &[Value]) -> Found {
    let words = match options {
        [_] => "must be the value that is allowed",
        _ => "must be one of the values that are allowed",
    };
    Found::new(place, issue_codes::INVALID_OPTION, words).with_param("options", options.to_vec())
}

/// Returns the issue of a value of another type. `expected` is one type, as for types of Rust, or a list of several.
pub(super) fn wrong_type(place: Place, types: &[&'static str]) -> Found {
    let words = format!("must be of type {}", types.join(" or "));
    let expected: Value = match types {
        [one] => (*one).into(),
        many => many.to_vec().into(),
    };
    Found::new(place, issue_codes::WRONG_TYPE, words).with_param("expected", expected)
}

/// Returns the issue of a field that no schema knows.
pub(super) fn unknown_field(place: Place) -> Found {
    Found::new(place, issue_codes::UNKNOWN_FIELD, "is not known")
}
