use std::{fmt, sync::Arc, time::Duration};

use palisade_core::ConfigError;
use serde::de::DeserializeOwned;

use super::{
    cache::{BadSignatures, TokenCache},
    claims_type,
    issuer::Issuer,
    issuer_setters::{issuer_setters, profile_setter},
    issuer_settings::IssuerSettings,
    keys::Keys,
    policy::{Jwt, Rules, TrustedIssuer},
};
use crate::access_token::{TokenSettings, token_setters};

/// The settings of a [`Jwt`]. Made by [`Jwt::hs256`] and [`Jwt::with_keys`].
///
/// What tokens must contain and what they grant are settings of one issuer: the one whose keys were given first. Other
/// issuers are added by [`other_issuer`](Self::other_issuer), each with settings of its own. Where tokens are found and
/// how long they are remembered are settings of the policy.
pub struct JwtBuilder<C> {
    settings: IssuerSettings<C>,
    others: Vec<Issuer<C>>,
    tokens: TokenSettings,
    cache_bytes: usize,
    cache_for: Duration,
}

/// The largest cache, in bytes. Its buckets are allocated at once.
const MAX_CACHE_BYTES: usize = 1 << 30;

impl<C: DeserializeOwned + Send + Sync + 'static> JwtBuilder<C> {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            settings: IssuerSettings::granting(keys),
            others: Vec::new(),
            tokens: TokenSettings::new(),
            cache_bytes: 8 * 1024 * 1024,
            cache_for: Duration::from_secs(60),
        }
    }

    /// Requires an issuer: `iss` must be equal to it, character for character. Keys that are found by
    /// [discovery](crate::Jwks::issuer) bring their issuer, so that it need not be named.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.settings.name = Some(issuer.into());
        self
    }

    /// Accepts tokens of another issuer too. The token's `iss` selects the issuer, and with it the keys and all
    /// settings: the keys of one issuer are never tried on another issuer's tokens. The first issuer then needs a name.
    #[must_use]
    pub fn other_issuer(mut self, issuer: Issuer<C>) -> Self {
        self.others.push(issuer);
        self
    }

    issuer_setters!(C);

    profile_setter!();

    token_setters!();

    /// Sets how much memory verified tokens may take, in bytes. Default: 8 MiB, about 4,000 tokens. At most 1 GiB. With 0
    /// no token is remembered. The user's claims are assumed to be as large as their token.
    ///
    /// Each thread also has the tokens at hand that it sees most: a sixteenth of this, and at most 256 tokens and 512 KiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets how long a verified token is remembered at most. Default: 60 s. The times in the token, `max_age` and the
    /// checks of [`validate`](Self::validate) are checked on each request, also for a remembered token.
    #[must_use]
    pub fn cache_for(mut self, time: Duration) -> Self {
        self.cache_for = time;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// If keys cannot be used (a short secret, an RSA key under 2048 bits, a private key); if an issuer has no audience,
    /// and neither [`any_audience`](Self::any_audience) nor
    /// [`clients_without_audience`](Self::clients_without_audience); if an issuer is empty, named twice, or without a
    /// name beside others or with [`access_tokens_only`](Self::access_tokens_only); if roles are read from a claim that
    /// has another meaning; if no token fits the type of the claims; if a cookie has no valid name, the cache is over
    /// 1 GiB, the skew over an hour, or the realm needs quoting.
    pub fn build(self) -> Result<Jwt<C>, ConfigError> {
        claims_type::check::<C>()?;
        if self.cache_bytes > MAX_CACHE_BYTES {
            let remedy = "use at most 1 GiB, `1 << 30`";
            return Err(ConfigError::new("cache_bytes", self.cache_bytes, remedy));
        }
        let settings = std::iter::once(self.settings)
            .chain(self.others.into_iter().map(|issuer| issuer.settings));
        let issuers = settings
            .map(|settings| {
                let (keys, expectations) = settings.build()?;
                Ok(TrustedIssuer { keys, expectations })
            })
            .collect::<Result<Vec<_>, _>>()?;
        check_names(&issuers)?;
        let clock = Arc::clone(&self.tokens.clock);
        Ok(Jwt::from_rules(Rules {
            issuers,
            tokens: self.tokens.build()?,
            cache: TokenCache::new(self.cache_bytes),
            cache_for: self.cache_for.as_secs_f64(),
            bad: BadSignatures::new(),
            cleared: 0.into(),
            clock,
        }))
    }
}

/// Checks that `iss` can tell several issuers apart.
fn check_names<C>(issuers: &[TrustedIssuer<C>]) -> Result<(), ConfigError> {
    let mut names: Vec<&str> = issuers.iter().filter_map(TrustedIssuer::name).collect();
    if issuers.len() > 1 && names.len() < issuers.len() {
        return Err(ConfigError::without_value(
            "issuer",
            "with `.other_issuer(…)` each issuer needs a name: add `.issuer(\"…\")`, or find its keys by discovery",
        ));
    }
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            let remedy = "it is configured twice: give it one set of keys";
            Err(ConfigError::new("issuer", pair[0], remedy))
        }
        None => Ok(()),
    }
}

impl<C> fmt::Debug for JwtBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder")
            .field("issuer", &self.settings)
            .field("others", &self.others)
            .field("tokens", &self.tokens)
            .field("cache_bytes", &self.cache_bytes)
            .field("cache_for", &self.cache_for)
            .finish_non_exhaustive()
    }
}
