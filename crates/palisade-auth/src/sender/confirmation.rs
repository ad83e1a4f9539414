use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

/// The `cnf` claim (RFC 7800, section 3.1): the key that the client must prove to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confirmation {
    /// The thumbprint of the key of DPoP proofs (RFC 9449, section 6.1).
    pub(super) jkt: Option<Box<str>>,
    /// The SHA-256 hash of the client's certificate (RFC 8705, section 3.1).
    pub(super) certificate: Option<Box<str>>,
}

impl Confirmation {
    /// The binding of a token to a key that is not known, which no client can prove to have.
    #[cfg(feature = "introspection")]
    pub(crate) const UNKNOWN_KEY: Self = Self { jkt: None, certificate: None };
}

impl<'de> Deserialize<'de> for Confirmation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Map::deserialize(deserializer)?;
        let mut text = |name| match members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.into())),
            Some(_) => Err(D::Error::custom("a member of `cnf` is not a string")),
        };
        // Members that are not known are ignored (RFC 7800, section 3.1). If there is no other, no proof is enough.
        Ok(Self { jkt: text("jkt")?, certificate: text("x5t#S256")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_kind_of_confirmation() {
        let read = |cnf: &str| serde_json::from_str::<Confirmation>(cnf);
        let confirmation = |jkt: Option<&str>, certificate: Option<&str>| Confirmation {
            jkt: jkt.map(Into::into),
            certificate: certificate.map(Into::into),
        };
        assert_eq!(read(r#"{"jkt":"a"}"#).unwrap(), confirmation(Some("a"), None));
        assert_eq!(read(r#"{"x5t#S256":"b","kid":"c"}"#).unwrap(), confirmation(None, Some("b")));
        assert_eq!(read(r#"{"kid":"c"}"#).unwrap(), confirmation(None, None));
        for wrong in [r#""a""#, r#"{"jkt":7}"#, "[]", r#"{"x5t#S256":null}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
