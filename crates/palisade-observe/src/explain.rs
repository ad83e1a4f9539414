use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue, request, response};
use palisade_core::{ConfigError, Secret, Trail, remove_header, set_header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::summary::micros;

const X_PALISADE_EXPLAIN: HeaderName = HeaderName::from_static("x-palisade-explain");

/// The maximum length of the explanation, because servers and proxies limit header fields.
const MOST: usize = 4096;

/// Adds the header `X-Palisade-Explain` to responses, with the decision and duration of each policy:
///
/// ```text
/// x-palisade-explain: Cors=granted;3us, Jwt=granted;41us, Authorize=refused(FORBIDDEN);2us
/// ```
///
/// A shadowed policy is marked: `NewRule=refused(FORBIDDEN) in shadow;2us`. The header reveals how the service is protected, so
/// the request must contain a secret:
///
/// ```
/// use palisade_observe::{Explain, Observe};
///
/// let explain = Explain::for_requests_with("x-explain", "a secret of at least sixteen bytes")?;
/// let observe = Observe::new().explain(explain);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Explain(Option<Arc<Key>>);

struct Key {
    field: HeaderName,
    /// The hash of the secret. Hashes have equal lengths, so the comparison does not reveal the length of the secret.
    sha256: [u8; 32],
}

impl Explain {
    /// Explains to requests that carry this secret in this field. It is compared in constant time, and handlers do not
    /// get to see it.
    ///
    /// # Errors
    ///
    /// If the name is not one of a field, or the secret has less than 16 bytes.
    pub fn for_requests_with(
        field: impl AsRef<str>,
        secret: impl Into<Secret>,
    ) -> Result<Self, ConfigError> {
        let field = field.as_ref();
        let Ok(field) = field.parse() else {
            return Err(ConfigError::new(
                "field",
                field,
                "write a header's name, as in `x-explain`",
            ));
        };
        let secret = secret.into();
        if secret.len() < 16 {
            return Err(ConfigError::without_value("secret", "use at least 16 random bytes"));
        }
        #[allow(
            clippy::disallowed_methods,
            reason = "it is hashed, and the hashes are compared in constant time"
        )]
        let sha256 = Sha256::digest(secret.expose()).into();
        Ok(Self(Some(Arc::new(Key { field, sha256 }))))
    }

    /// Adds the header to all responses, which reveals how the service is protected. For development.
    pub fn insecure_to_everybody() -> Self {
        Self(None)
    }

    /// Returns true if the request asks for an explanation with the right secret.
    pub(crate) fn asks(&self, request: &request::Parts) -> bool {
        let Some(key) = &self.0 else { return true };
        request.headers.get(&key.field).is_some_and(|sent| {
            let sent: [u8; 32] = Sha256::digest(sent.as_bytes()).into();
            sent.ct_eq(&key.sha256).into()
        })
    }

    /// Removes the secret from the request, so that inner services do not see it.
    pub(crate) fn leave_no_secret(&self, request: &mut request::Parts) {
        if let Some(key) = &self.0 {
            remove_header(&mut request.headers, &key.field);
        }
    }

    pub(crate) fn tell(trail: &Trail, response: &mut response::Parts) {
        let mut text = String::new();
        for step in trail.steps() {
            let separator = if text.is_empty() { "" } else { ", " };
            let step = format!("{separator}{step};{}us", micros(step.took()));
            if text.len() + step.len() > MOST {
                text.push_str(", and more");
                break;
            }
            text.push_str(&step);
        }
        // Names and codes may contain any characters.
        text = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
        if let Ok(value) = HeaderValue::try_from(text) {
            set_header(&mut response.headers, X_PALISADE_EXPLAIN, value);
        }
    }
}

impl fmt::Debug for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(key) => {
                f.debug_struct("Explain").field("field", &key.field).finish_non_exhaustive()
            }
            None => f.write_str("Explain(everybody)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn secret_is_required_and_removed_from_the_request() {
        let secret = "a secret of at least sixteen bytes";
        let explain = Explain::for_requests_with("x-explain", secret).unwrap();
        let head = |value: Option<&str>| {
            let mut request = Request::get("/");
            if let Some(value) = value {
                request = request.header("x-explain", value);
            }
            request.body(()).unwrap().into_parts().0
        };
        assert!(explain.asks(&head(Some(secret))));
        for other in [None, Some(""), Some("yes"), Some(&secret[1..]), Some(&format!("{secret}!"))]
        {
            assert!(!explain.asks(&head(other)), "{other:?}");
        }
        let mut request = head(Some(secret));
        explain.leave_no_secret(&mut request);
        assert!(request.headers.is_empty());
        assert!(!format!("{explain:?}").contains(secret));
    }

    #[test]
    fn weak_secret_and_invalid_name_are_config_errors() {
        let error = Explain::for_requests_with("x explain", "a secret of at least sixteen bytes");
        assert!(error.unwrap_err().to_string().starts_with("field `x explain` is not valid"));
        let error = Explain::for_requests_with("x-explain", "yes").unwrap_err();
        assert_eq!(error.to_string(), "secret is not valid: use at least 16 random bytes");
    }
}
