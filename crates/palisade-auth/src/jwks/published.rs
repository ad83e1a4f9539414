use palisade_core::BoxError;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::remote::KeySet;

/// More keys than any issuer has; each is compared with a token's.
const MAX_KEYS: usize = 100;

/// A JWK set as it was published (RFC 7517, section 5), before anybody knows what its keys are good for.
#[derive(Debug, Deserialize)]
pub(crate) struct Published {
    keys: Vec<Map<String, Value>>,
}

impl KeySet for Published {
    fn parse(document: &[u8]) -> Result<Self, BoxError> {
        let set: Self = serde_json::from_slice(document)
            .map_err(|error| format!("this is not a JWK set: {error}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(
                format!("the set has {} keys, and {MAX_KEYS} are taken", set.keys.len()).into()
            );
        }
        Ok(set)
    }

    fn has_key_id(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.get("kid").and_then(Value::as_str) == Some(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_unknown_kinds_and_without_ids_do_no_harm() {
        let set = Published::parse(
            br#"{"keys":[{"kty":"ML-DSA","kid":"a","x":[1]},{"kty":"RSA"}],"more":1}"#,
        );
        let set = set.unwrap();
        assert!(set.has_key_id("a"));
        assert!(!set.has_key_id("b"));
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        let many = format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 101].join(","));
        for document in ["", "<html>", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, &many] {
            assert!(Published::parse(document.as_bytes()).is_err(), "{document}");
        }
    }
}
