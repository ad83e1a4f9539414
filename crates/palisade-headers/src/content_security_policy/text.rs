use http::HeaderValue;
use palisade_core::ConfigError;

use super::CspNonce;
use crate::sources::NONCE;

/// The text of a policy, as it is sent: whole, or in the pieces between which the nonce of a response stands.
#[derive(Clone, Debug)]
pub(crate) enum CspText {
    Same(HeaderValue),
    WithNonce(Vec<Box<str>>),
}

impl CspText {
    pub(crate) fn new(text: &str) -> Result<Self, ConfigError> {
        let value = HeaderValue::try_from(text).map_err(|_| {
            ConfigError::new("content_security_policy", text, "it is no header value")
        })?;
        Ok(if text.contains(NONCE) {
            Self::WithNonce(text.split(NONCE).map(Into::into).collect())
        } else {
            Self::Same(value)
        })
    }

    pub(crate) fn has_nonce(&self) -> bool {
        matches!(self, Self::WithNonce(_))
    }

    /// Returns the value for one response. `None` if it needs a nonce that is missing.
    pub(crate) fn value(&self, nonce: Option<&CspNonce>) -> Option<HeaderValue> {
        match self {
            Self::Same(value) => Some(value.clone()),
            Self::WithNonce(pieces) => {
                let source = format!("'nonce-{}'", nonce?.for_header());
                HeaderValue::try_from(pieces.join(&source)).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nonce_placeholder_gets_the_same_nonce() {
        let text = CspText::new("script-src 'nonce'; style-src 'self' 'nonce'; img-src a").unwrap();
        let nonce = CspNonce::generate().unwrap();
        let expected =
            format!("script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src a");
        assert_eq!(text.value(Some(&nonce)).unwrap(), expected);
        assert!(text.has_nonce() && text.value(None).is_none());
        let same = CspText::new("script-src 'none'").unwrap();
        assert!(!same.has_nonce());
        assert_eq!(same.value(None).unwrap(), "script-src 'none'");
    }
}
