use garde::Validate;
use palisade_core::ApiError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Validation, examine, rules};

/// How many pairs a query may have.
const MAX_PAIRS: usize = 1_000;

/// Reads a query string as `T` and applies its rules. Texts become what the type asks for: numbers, `true` and
/// `false` (also `1` and `0`), and lists of repeated keys.
pub(crate) fn read<T>(query: &str, settings: Validation) -> Result<T, ApiError>
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    let (value, mut issues) = examine::text::<T>(&Value::Object(pairs(query)?), query.len());
    if let Some(value) = value {
        issues = rules::check(&value, issues);
        if issues.is_empty() {
            return Ok(value);
        }
    }
    if issues.is_empty() {
        issues.push(examine::not_as_expected());
    }
    Err(settings.refuse(issues))
}

/// A key that comes once has a text, one that comes again has a list.
fn pairs(query: &str) -> Result<Map<String, Value>, ApiError> {
    let mut pairs = Map::new();
    for (count, (key, text)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        if count >= MAX_PAIRS {
            return Err(ApiError::bad_request().with_message("the query has too many parameters"));
        }
        let text = Value::String(text.into_owned());
        match pairs.get_mut(&*key) {
            None => {
                pairs.insert(key.into_owned(), text);
            }
            Some(Value::Array(texts)) => texts.push(text),
            Some(first) => *first = Value::Array(vec![first.take(), text]),
        }
    }
    Ok(pairs)
}
