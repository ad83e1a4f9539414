use std::{marker::PhantomData, sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit};
use palisade_core::{Clock, ConfigError, Secret, SystemClock};
use serde::de::DeserializeOwned;
use sha2::Sha256;

use super::{
    claims::Expectations,
    policy::{Jwt, Rules},
};
use crate::challenge::Challenges;

/// HS256 takes a key at least as long as its hash (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// The settings of a [`Jwt`]. Made by [`Jwt::hs256`].
#[derive(Debug)]
pub struct JwtBuilder<C> {
    secret: Secret,
    issuer: Option<String>,
    audiences: Vec<String>,
    any_audience: bool,
    skew: Duration,
    realm: String,
    clock: Arc<dyn Clock>,
    claims: PhantomData<fn() -> C>,
}

impl<C: DeserializeOwned + Send + Sync + 'static> JwtBuilder<C> {
    pub(super) fn new(secret: Secret) -> Self {
        Self {
            secret,
            issuer: None,
            audiences: Vec::new(),
            any_audience: false,
            skew: Duration::from_secs(60),
            realm: "api".to_owned(),
            clock: SystemClock::shared(),
            claims: PhantomData,
        }
    }

    /// Takes tokens of this issuer only: `iss` must be there and equal it to the letter.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Takes tokens for this audience only: `aud` must be there and name it, or another that was added. May be
    /// called more than once.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Takes tokens that were issued for anybody. A token for another service then works here too.
    #[must_use]
    pub fn any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// How far the issuer's clock and ours may be apart; 60 seconds unless said otherwise.
    #[must_use]
    pub fn skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// The realm that challenges name; `api` unless said otherwise.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// For a secret under 32 bytes; for no audience, unless [`any_audience`](Self::any_audience) says so; for an empty
    /// issuer or audience; for a realm that needs quoting.
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub fn build(self) -> Result<Jwt<C>, ConfigError> {
        if self.secret.len() < MIN_SECRET {
            return Err(ConfigError::without_value(
                "secret",
                format!(
                    "HS256 needs at least {MIN_SECRET} bytes, and it has {}: make one with `openssl rand -base64 32`",
                    self.secret.len()
                ),
            ));
        }
        if self.audiences.is_empty() && !self.any_audience {
            return Err(ConfigError::without_value(
                "audience",
                "name the audience that tokens must be issued for with `.audience(\"…\")`, or write `.any_audience()`",
            ));
        }
        if self.any_audience && !self.audiences.is_empty() {
            return Err(ConfigError::new(
                "any_audience",
                true,
                "it contradicts `.audience(…)`: keep one of them",
            ));
        }
        for (setting, name) in self
            .issuer
            .iter()
            .map(|issuer| ("issuer", issuer))
            .chain(self.audiences.iter().map(|audience| ("audience", audience)))
        {
            if name.is_empty() {
                return Err(ConfigError::new(setting, name, "an empty name is no name"));
            }
        }
        let key = Hmac::<Sha256>::new_from_slice(self.secret.expose())
            .map_err(|_| ConfigError::without_value("secret", "it cannot be a key"))?;
        Ok(Jwt::of(Rules {
            key,
            expectations: Expectations {
                issuer: self.issuer,
                audiences: self.audiences,
                skew: self.skew.as_secs_f64(),
            },
            challenges: Challenges::new(&self.realm)?,
            clock: self.clock,
        }))
    }
}
