use http::{HeaderValue, header};
use palisade_core::{ApiError, ConfigError, syntax::is_token};

/// One authentication scheme of one realm, and its refusals. The challenges are made once.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    missing: HeaderValue,
    invalid: HeaderValue,
    two: HeaderValue,
}

impl Scheme {
    /// Creates a scheme with the same challenge for all errors. `parameters` begin with a comma, or are empty.
    pub(crate) fn new(name: &str, realm: &str, parameters: &str) -> Result<Self, ConfigError> {
        let challenge = challenge(name, realm, parameters)?;
        Ok(Self { missing: challenge.clone(), invalid: challenge.clone(), two: challenge })
    }

    /// Returns a scheme of this name with the challenges of Bearer, which name an error if there were credentials (RFC 6750,
    /// section 3.1).
    pub(crate) fn token(name: &str, realm: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            missing: challenge(name, realm, "")?,
            invalid: challenge(name, realm, ", error=\"invalid_token\"")?,
            two: challenge(name, realm, ", error=\"invalid_request\"")?,
        })
    }

    /// The challenge to a request without credentials.
    pub(crate) fn challenge(&self) -> &HeaderValue {
        &self.missing
    }

    /// There are no credentials.
    pub(crate) fn missing(&self) -> ApiError {
        with_challenge(ApiError::unauthenticated(), &self.missing)
    }

    /// Returns the error of invalid credentials. `message` must not help an attacker to distinguish reasons.
    pub(crate) fn invalid(&self, message: &'static str) -> ApiError {
        with_challenge(ApiError::unauthenticated().with_message(message), &self.invalid)
    }

    /// Rejects a request with more than one set of credentials, of which none is used, and logs it.
    pub(crate) fn reject_two(&self) -> ApiError {
        log_rejection!("a request was rejected: more than one set of credentials");
        let error = ApiError::bad_request().with_message("more than one set of credentials");
        with_challenge(error, &self.two)
            .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }
}

pub(crate) fn with_challenge(error: ApiError, challenge: &HeaderValue) -> ApiError {
    error.with_header(header::WWW_AUTHENTICATE, challenge.clone())
}

/// Returns a challenge. `parameters` begin with a comma, or are empty.
pub(crate) fn challenge(
    name: &str,
    realm: &str,
    parameters: &str,
) -> Result<HeaderValue, ConfigError> {
    if !is_token(name) {
        let remedy = "use letters, digits and hyphens, as in `Token`";
        return Err(ConfigError::new("scheme", name.escape_debug(), remedy));
    }
    // A quoted-string could hold more; a name does not need to.
    let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    let wrong = || {
        let remedy = "use printable ASCII without quotes and backslashes";
        ConfigError::new("realm", realm.escape_debug(), remedy)
    };
    if !realm.bytes().all(is_plain) {
        return Err(wrong());
    }
    HeaderValue::try_from(format!("{name} realm=\"{realm}\"{parameters}")).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realm_or_scheme_that_needs_quoting_is_rejected() {
        for realm in ["a\"b", "a\\b", "a\nb", "caf\u{e9}"] {
            assert_eq!(
                Scheme::new("Basic", realm, "").unwrap_err().setting(),
                "realm",
                "{realm:?}"
            );
            assert!(Scheme::token("Bearer", realm).is_err());
        }
        for scheme in ["", "My Token", "Token=", "caf\u{e9}"] {
            assert_eq!(Scheme::token(scheme, "api").unwrap_err().setting(), "scheme", "{scheme:?}");
        }
        let basic = Scheme::new("Basic", "my api", ", charset=\"UTF-8\"").unwrap();
        assert_eq!(basic.challenge(), "Basic realm=\"my api\", charset=\"UTF-8\"");
    }
}
