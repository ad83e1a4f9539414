use std::{
    any::{TypeId, type_name},
    sync::Arc,
};

use palisade_core::ConfigError;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::fault::Fault;

/// Reads the claims as the user's type. `()` means that the user wants none.
///
/// # Errors
///
/// The outer error says that the claims are not JSON, the inner one that they do not fit the type.
pub(super) fn read<C: DeserializeOwned + 'static>(
    payload: &str,
) -> Result<Result<Arc<C>, Fault>, Fault> {
    if !is_unit::<C>()
        && let Ok(claims) = serde_json::from_str(payload)
    {
        return Ok(Ok(Arc::new(claims)));
    }
    let syntax = serde_json::from_str::<IgnoredAny>(payload);
    syntax.map_err(|error| Fault::unreadable(None, error))?;
    if is_unit::<C>() {
        let unit = serde_json::from_str("null");
        return Ok(unit.map(Arc::new).map_err(|error| Fault::unreadable(None, error)));
    }
    // Again, slowly, for the name of the claim.
    let mut json = serde_json::Deserializer::from_str(payload);
    let claims = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        Fault::unreadable(Some(&*path).filter(|path| *path != "."), error.inner())
    });
    // A type that hides the error of a part has not read the rest.
    let is_read = json.end().map_err(|error| Fault::unreadable(None, error));
    Ok(claims.and_then(|claims| is_read.map(|()| Arc::new(claims))))
}

/// Checks that there is a token whose claims fit the type.
pub(crate) fn check<C: DeserializeOwned + 'static>() -> Result<(), ConfigError> {
    // Each token is an object, and has a number `exp`. A token may contain any other claim that the type requires.
    let Err(error) = serde_json::from_str::<C>(r#"{"exp":4102444800}"#) else { return Ok(()) };
    let reason = error.to_string();
    let is_hopeless = error.is_syntax()
        || ["invalid type: ", "unknown field `exp`", "unknown variant `exp`"]
            .iter()
            .any(|start| reason.starts_with(start));
    if is_unit::<C>() || !is_hopeless {
        return Ok(());
    }
    Err(ConfigError::new(
        "claims type",
        type_name::<C>(),
        format!(
            "no token fits it ({reason}): use a struct that does not deny unknown fields, `serde_json::Value`, or `()` \
             for no claims"
        ),
    ))
}

fn is_unit<C: 'static>() -> bool {
    TypeId::of::<C>() == TypeId::of::<()>()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;
    use serde_json::{Map, Value};

    use super::*;

    #[derive(Deserialize)]
    struct Fields {
        #[allow(dead_code, reason = "only read by serde")]
        sub: String,
    }

    #[derive(Deserialize)]
    struct Wrapped(#[allow(dead_code, reason = "only read by serde")] Fields);

    #[derive(Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        User {},
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        User(#[allow(dead_code, reason = "only read by serde")] Fields),
    }

    #[derive(Deserialize)]
    enum External {
        User {},
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        #[allow(dead_code, reason = "only read by serde")]
        sub: String,
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only read by serde")]
    struct TextualExpiry {
        exp: String,
    }

    #[test]
    fn claims_types_that_fit_some_token_are_accepted() {
        for checked in [
            check::<()>(),
            check::<Fields>(),
            check::<Wrapped>(),
            check::<Option<Fields>>(),
            check::<Box<Fields>>(),
            check::<Tagged>(),
            check::<Untagged>(),
            check::<Value>(),
            check::<Map<String, Value>>(),
            check::<HashMap<String, Value>>(),
        ] {
            checked.unwrap();
        }
    }

    #[test]
    fn claims_types_that_fit_no_token_are_config_errors() {
        for checked in [
            check::<String>(),
            check::<u64>(),
            check::<bool>(),
            check::<Vec<Value>>(),
            check::<(String, u64)>(),
            check::<External>(),
            check::<Strict>(),
            check::<TextualExpiry>(),
            check::<HashMap<String, String>>(),
        ] {
            assert_eq!(checked.unwrap_err().setting(), "claims type");
        }
        let _ = (Tagged::User {}, External::User {});
    }
}
