use http::HeaderValue;
use palisade_core::{ApiError, ConfigError};

use crate::scheme::{Scheme, challenge, with_challenge};

/// The challenges to bearers of JWTs (RFC 6750, section 3), made once.
#[derive(Clone, Debug)]
pub(crate) struct Challenges {
    bearer: Scheme,
    expired: HeaderValue,
    invalid: HeaderValue,
}

impl Challenges {
    pub(crate) fn new(scheme: &str, realm: &str) -> Result<Self, ConfigError> {
        let invalid_token = |description: &str| {
            let error = format!(", error=\"invalid_token\", error_description=\"{description}\"");
            challenge(scheme, realm, &error)
        };
        Ok(Self {
            bearer: Scheme::token(scheme, realm)?,
            expired: invalid_token("The access token expired")?,
            invalid: invalid_token("The access token is not valid")?,
        })
    }

    /// The request has no token.
    pub(crate) fn missing(&self) -> ApiError {
        self.bearer.missing()
    }

    /// Rejects a request with more than one token, and logs it.
    pub(crate) fn reject_two(&self) -> ApiError {
        self.bearer.reject_two()
    }

    pub(crate) fn expired(&self) -> ApiError {
        let error = ApiError::unauthenticated().with_message("the access token expired");
        with_challenge(error, &self.expired)
    }

    /// Returns the error of an invalid token. The reason is in the log only.
    pub(crate) fn invalid(&self) -> ApiError {
        let error = ApiError::unauthenticated().with_message("the access token is not valid");
        with_challenge(error, &self.invalid)
    }

    /// Adds the challenge of a token that is not valid to an error with status 401 that has none (RFC 9110, section
    /// 15.5.2).
    pub(crate) fn complete(&self, error: ApiError) -> ApiError {
        let is_complete = error.status() != http::StatusCode::UNAUTHORIZED
            || error.headers().contains_key(http::header::WWW_AUTHENTICATE);
        if is_complete { error } else { with_challenge(error, &self.invalid) }
    }
}
