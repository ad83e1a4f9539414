use std::sync::Arc;

use http::{HeaderName, header};
use palisade_core::{Clock, ConfigError, SystemClock};

use super::{
    format::check_prefix,
    policy::{ApiKeys, Rules},
    store::ApiKeyStore,
};
use crate::scheme::Scheme;

/// The settings of [`ApiKeys`]. Made by [`ApiKeys::builder`].
#[derive(Debug)]
pub struct ApiKeysBuilder<S> {
    prefix: String,
    store: S,
    header: String,
    scheme: String,
    realm: String,
    clock: Arc<dyn Clock>,
}

impl<S: ApiKeyStore> ApiKeysBuilder<S> {
    pub(super) fn new(prefix: String, store: S) -> Self {
        Self {
            prefix,
            store,
            header: "x-api-key".to_owned(),
            scheme: "ApiKey".to_owned(),
            realm: "api".to_owned(),
            clock: SystemClock::shared(),
        }
    }

    /// Sets the header that contains the key, beside `Authorization`. Default: `x-api-key`.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header = name.into();
        self
    }

    /// Sets the scheme of keys in `Authorization`, which the challenges name too: `Bearer` for clients that know no other.
    /// Default: `ApiKey`.
    ///
    /// Beside a token policy with the same scheme, as in `any_of(jwt, keys)`, the one that accepts the credentials counts.
    #[must_use]
    pub fn scheme(mut self, name: impl Into<String>) -> Self {
        self.scheme = name.into();
        self
    }

    /// Sets the realm of the challenges. Default: `api`.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Sets the clock. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// Returns an error for a prefix that is not 1 to 32 letters, digits and underscores; for a header that has no valid name,
    /// or carries credentials of another kind; for a scheme that is not a valid name; for a realm that needs quoting.
    pub fn build(self) -> Result<ApiKeys<S>, ConfigError> {
        check_prefix(&self.prefix)?;
        let wrong = |remedy| ConfigError::new("header", self.header.escape_debug(), remedy);
        let header = HeaderName::try_from(&self.header)
            .map_err(|_| wrong("use the name of a header field, such as `x-api-key`"))?;
        if [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE].contains(&header) {
            return Err(wrong(
                "`Authorization` is always read, with the scheme of `.scheme(…)`; name another header",
            ));
        }
        Ok(ApiKeys::from_rules(Rules {
            prefix: self.prefix.into(),
            store: self.store,
            header,
            scheme: Scheme::new(&self.scheme, &self.realm, "")?,
            scheme_name: self.scheme.into(),
            clock: self.clock,
        }))
    }
}
