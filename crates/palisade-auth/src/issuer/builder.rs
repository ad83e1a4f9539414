use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{Clock, ConfigError, SystemClock};

use super::{
    key_ring::KeyRing,
    signing_key::SigningKey,
    token_issuer::{Settings, TokenIssuer},
};

/// The settings of a [`TokenIssuer`]. Made by [`TokenIssuer::new`].
pub struct TokenIssuerBuilder {
    settings: Settings,
    key: SigningKey,
    next: Vec<SigningKey>,
    previous: Vec<SigningKey>,
}

impl TokenIssuerBuilder {
    pub(super) fn new(name: String, key: SigningKey) -> Self {
        let settings = Settings {
            name,
            audiences: Vec::new(),
            lifetime: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(3600),
            access_tokens: false,
            cache_keys_for: Duration::from_secs(300),
            clock: SystemClock::shared(),
        };
        Self { settings, key, next: Vec::new(), previous: Vec::new() }
    }

    /// Adds an audience (`aud`): the service that tokens are for. At least one is required.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.settings.audiences.push(audience.into());
        self
    }

    /// Sets the time until tokens expire, in whole seconds. Default: 10 min. Nothing but its expiry ends a token everywhere, so
    /// it is short.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.lifetime = lifetime;
        self
    }

    /// Sets the longest lifetime that a single token can have. Default: 1 h. After a rotation the old public key is published
    /// for this time.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.max_lifetime = lifetime;
        self
    }

    /// Issues access tokens of RFC 9068 (`typ: at+jwt`), for services with
    /// [`access_tokens_only`](crate::JwtBuilder::access_tokens_only). Each then names its
    /// [client](crate::NewToken::client).
    #[must_use]
    pub fn access_tokens(mut self) -> Self {
        self.settings.access_tokens = true;
        self
    }

    /// Publishes the public key of the next rotation, so that services know it when the first token comes. See
    /// [`TokenIssuer::announce`].
    #[must_use]
    pub fn next_key(mut self, key: SigningKey) -> Self {
        self.next.push(key);
        self
    }

    /// Publishes a key that signed before a restart, for [`max_lifetime`](Self::max_lifetime) from now.
    #[must_use]
    pub fn previous_key(mut self, key: SigningKey) -> Self {
        self.previous.push(key);
        self
    }

    /// Sets how long services may cache the published keys (`Cache-Control: max-age`). Default: 5 min. Announce a key for this
    /// time before it signs.
    #[must_use]
    pub fn cache_keys_for(mut self, time: Duration) -> Self {
        self.settings.cache_keys_for = time;
        self
    }

    /// Uses this clock. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// If the issuer has no name or no audience, a lifetime is shorter than 1 s or longer than `max_lifetime`, or one of several
    /// keys has no id of its own.
    pub fn build(self) -> Result<TokenIssuer, ConfigError> {
        let Settings { name, audiences, lifetime, max_lifetime, clock, .. } = &self.settings;
        if name.is_empty() {
            let remedy = "name the issuer by its URL, which becomes `iss`";
            return Err(ConfigError::without_value("issuer", remedy));
        }
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            let remedy = "add `.audience(\"…\")`: a token without one would be for every service that trusts this issuer";
            return Err(ConfigError::without_value("audience", remedy));
        }
        if *lifetime < Duration::from_secs(1) || lifetime > max_lifetime {
            let remedy =
                format!("choose between 1 s and `max_lifetime`, which is {max_lifetime:?}");
            return Err(ConfigError::new("lifetime", format_args!("{lifetime:?}"), remedy));
        }
        let mut keys = KeyRing::new(self.key);
        for key in &self.next {
            keys.announce(key)?;
        }
        let until = clock.unix().saturating_add(self.settings.longest_use());
        for key in &self.previous {
            keys.retire(key, until)?;
        }
        Ok(TokenIssuer::from_parts(self.settings, keys))
    }
}

impl fmt::Debug for TokenIssuerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuerBuilder")
            .field("settings", &self.settings)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
