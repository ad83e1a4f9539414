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
    realm: String,
    clock: Arc<dyn Clock>,
}

impl<S: ApiKeyStore> ApiKeysBuilder<S> {
    pub(super) fn new(prefix: String, store: S) -> Self {
        Self {
            prefix,
            store,
            header: "x-api-key".to_owned(),
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
    /// For a prefix that is not 1 to 32 letters, digits and underscores; for a header that has no valid name, or
    /// carries credentials of another kind; for a realm that needs quoting.
    pub fn build(self) -> Result<ApiKeys<S>, ConfigError> {
        check_prefix(&self.prefix)?;
        let wrong = |remedy| ConfigError::new("header", self.header.escape_debug(), remedy);
        let header = HeaderName::try_from(&self.header)
            .map_err(|_| wrong("use the name of a header field, such as `x-api-key`"))?;
        if [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE].contains(&header) {
            return Err(wrong(
                "it has a syntax of its own; `Authorization: ApiKey …` is always read",
            ));
        }
        Ok(ApiKeys::from_rules(Rules {
            prefix: self.prefix.into(),
            store: self.store,
            header,
            scheme: Scheme::new(ApiKeys::<S>::SCHEME, &self.realm, "")?,
            clock: self.clock,
        }))
    }
}
