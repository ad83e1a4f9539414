//! Query strings, forms, parameters of paths: names and texts, which become what the type asks for.

use palisade_core::ApiError;
use serde_json::{Map, Value};

/// How many pairs a query or a form may have.
const MAX_PAIRS: usize = 1_000;

/// A key that comes once has a text, one that comes again has a list.
pub(crate) fn pairs(text: &[u8]) -> Result<Value, ApiError> {
    let mut pairs = Map::new();
    for (count, (key, text)) in form_urlencoded::parse(text).enumerate() {
        if count >= MAX_PAIRS {
            return Err(ApiError::bad_request()
                .with_message(format!("more than {MAX_PAIRS} parameters were sent")));
        }
        add(&mut pairs, &key, text.into_owned());
    }
    Ok(Value::Object(pairs))
}

pub(crate) fn add(pairs: &mut Map<String, Value>, key: &str, text: String) {
    let text = Value::String(text);
    match pairs.get_mut(key) {
        None => {
            pairs.insert(key.to_owned(), text);
        }
        Some(Value::Array(texts)) => texts.push(text),
        Some(first) => *first = Value::Array(vec![first.take(), text]),
    }
}
