use http::{HeaderValue, header};
use palisade_core::{ApiError, ConfigError};

/// The challenges of one bearer realm (RFC 6750, section 3), made once.
#[derive(Debug)]
pub(crate) struct Challenges {
    missing: HeaderValue,
    two_tokens: HeaderValue,
    expired: HeaderValue,
    invalid: HeaderValue,
}

impl Challenges {
    pub(crate) fn new(realm: &str) -> Result<Self, ConfigError> {
        // A quoted-string could hold more; a name does not need to.
        let plain = |char: char| matches!(char, ' '..='~') && char != '"' && char != '\\';
        if !realm.chars().all(plain) {
            return Err(ConfigError::new(
                "realm",
                realm.escape_debug(),
                "use printable ASCII without quotes and backslashes",
            ));
        }
        let value = |attributes: &str| {
            HeaderValue::try_from(format!("Bearer realm=\"{realm}\"{attributes}"))
                .map_err(|_| ConfigError::new("realm", realm, "use printable ASCII"))
        };
        let invalid_token = |description: &str| {
            value(&format!(", error=\"invalid_token\", error_description=\"{description}\""))
        };
        Ok(Self {
            // Without credentials there is no error to name (RFC 6750, section 3.1).
            missing: value("")?,
            two_tokens: value(", error=\"invalid_request\"")?,
            expired: invalid_token("The access token expired")?,
            invalid: invalid_token("The access token is not valid")?,
        })
    }

    /// The request has no bearer credentials.
    pub(crate) fn missing(&self) -> ApiError {
        with_challenge(ApiError::unauthenticated(), &self.missing)
    }

    /// The request has more than one set of credentials.
    pub(crate) fn two_tokens(&self) -> ApiError {
        let error = ApiError::bad_request().with_message("more than one set of credentials");
        with_challenge(error, &self.two_tokens)
            .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    pub(crate) fn expired(&self) -> ApiError {
        let error = ApiError::unauthenticated().with_message("the access token expired");
        with_challenge(error, &self.expired)
    }

    /// Says that the token is not valid, and not why: that is for the log.
    pub(crate) fn invalid(&self) -> ApiError {
        let error = ApiError::unauthenticated().with_message("the access token is not valid");
        with_challenge(error, &self.invalid)
    }
}

fn with_challenge(error: ApiError, challenge: &HeaderValue) -> ApiError {
    error.with_header(header::WWW_AUTHENTICATE, challenge.clone())
}
