use std::{marker::PhantomData, sync::Arc, time::Duration};

use http::HeaderName;
use palisade_core::{Clock, ConfigError, SystemClock};
use serde::de::DeserializeOwned;

use super::{
    cache::{BadSignatures, TokenCache},
    claims::{Expectations, Path},
    issuer::Issuer,
    keys::Keys,
    policy::{Jwt, Rules},
    registered,
    source::TokenSource,
    token::Profile,
};
use crate::{challenge::Challenges, cookies::is_cookie_name, csrf::CsrfCheck};

/// The settings of a [`Jwt`]. Made by [`Jwt::hs256`] and [`Jwt::with_keys`].
#[derive(Debug)]
pub struct JwtBuilder<C> {
    keys: Keys,
    issuer: Option<String>,
    others: Vec<(String, Keys)>,
    audiences: Vec<String>,
    any_audience: bool,
    profile: Profile,
    skew: Duration,
    max_lifetime: Option<Duration>,
    max_age: Option<Duration>,
    roles: Path,
    tenants: Path,
    sources: Vec<TokenSource>,
    csrf: CsrfCheck,
    cache_bytes: usize,
    cache_for: Duration,
    realm: String,
    clock: Arc<dyn Clock>,
    claims: PhantomData<fn() -> C>,
}

impl<C: DeserializeOwned + Send + Sync + 'static> JwtBuilder<C> {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            issuer: None,
            others: Vec::new(),
            audiences: Vec::new(),
            any_audience: false,
            profile: Profile::Plain,
            skew: Duration::from_secs(60),
            max_lifetime: None,
            max_age: None,
            roles: vec!["roles".to_owned()],
            tenants: vec!["tenants".to_owned()],
            sources: Vec::new(),
            csrf: CsrfCheck::new(),
            cache_bytes: 8 * 1024 * 1024,
            cache_for: Duration::from_secs(60),
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

    /// Takes tokens of another issuer too, who has keys of its own. The token's `iss` says whose keys are asked; the
    /// keys of one issuer are never tried on another's tokens. Every issuer needs a name then.
    #[must_use]
    pub fn other_issuer(mut self, issuer: impl Into<String>, keys: Keys) -> Self {
        self.others.push((issuer.into(), keys));
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

    /// Takes access tokens of RFC 9068 only: `typ` is `at+jwt`, and `iss`, `sub`, `aud`, `exp`, `iat`, `jti` and
    /// `client_id` are there. ID tokens are refused.
    #[must_use]
    pub fn access_tokens_only(mut self) -> Self {
        self.profile = Profile::AccessToken;
        self
    }

    /// How far the issuer's clock and ours may be apart; 60 seconds unless said otherwise.
    #[must_use]
    pub fn skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// Refuses tokens that are still good for longer than this, whatever they say.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// Refuses tokens that were issued longer ago than this. `iat` must then be there.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Where the roles are: `["roles"]` unless said otherwise. Each name is whole, so that a namespaced claim may have
    /// dots and slashes.
    ///
    /// ```
    /// # use palisade_auth::{Jwt, JwtBuilder};
    /// # let builder = || -> JwtBuilder<()> { Jwt::hs256("a signing key of at least thirty-two bytes").audience("orders") };
    /// builder().roles_at(["realm_access", "roles"]); // Keycloak
    /// builder().roles_at(["cognito:groups"]);
    /// builder().roles_at(["https://example.com/roles"]); // Auth0
    /// ```
    #[must_use]
    pub fn roles_at<N: Into<String>>(mut self, path: impl IntoIterator<Item = N>) -> Self {
        self.roles = path.into_iter().map(Into::into).collect();
        self
    }

    /// Where the tenants are that the caller belongs to: `["tenants"]` unless said otherwise.
    #[must_use]
    pub fn tenants_at<N: Into<String>>(mut self, path: impl IntoIterator<Item = N>) -> Self {
        self.tenants = path.into_iter().map(Into::into).collect();
        self
    }

    /// Takes tokens from `Authorization: Bearer`. It is where they are if no place is named; this names it beside others.
    #[must_use]
    pub fn token_in_bearer(mut self) -> Self {
        self.sources.push(TokenSource::Bearer);
        self
    }

    /// Takes tokens from a cookie of this name.
    ///
    /// A browser sends a cookie whoever wrote the page that asks. So a request with one that may change something must
    /// come from a page of ours: the [`CsrfCheck`] is on from here, and refuses others with 403.
    #[must_use]
    pub fn token_in_cookie(mut self, name: impl Into<String>) -> Self {
        self.sources.push(TokenSource::Cookie(name.into()));
        self
    }

    /// The check for requests whose token is in a cookie: where other origins are trusted.
    #[must_use]
    pub fn csrf(mut self, check: CsrfCheck) -> Self {
        self.csrf = check;
        self
    }

    /// Takes tokens from a header field of their own, which holds the token and nothing else.
    #[must_use]
    pub fn token_in_header(mut self, name: HeaderName) -> Self {
        self.sources.push(TokenSource::Header(name));
        self
    }

    /// Takes tokens from a parameter of the query, from where they get into logs, histories and `Referer` fields
    /// (RFC 6750, section 2.3 advises against it).
    #[must_use]
    pub fn insecure_token_in_query(mut self, parameter: impl Into<String>) -> Self {
        self.sources.push(TokenSource::Query(parameter.into()));
        self
    }

    /// How much memory verified tokens may take up, in bytes: 8 MiB unless said otherwise, which is some 4,000 tokens.
    /// 0 verifies each token anew. What a claims type of yours holds is taken to be as large as its token.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How long a verified token is remembered at most: 60 seconds unless said otherwise. `exp` and `nbf` are checked
    /// on each request in any case.
    #[must_use]
    pub fn cache_for(mut self, time: Duration) -> Self {
        self.cache_for = time;
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
    /// For a cookie without a proper name; for keys that cannot be used: a short secret, an RSA key under 2048 bits, a private key; for no audience, unless
    /// [`any_audience`](Self::any_audience) says so; for an empty issuer or audience, and for an issuer without a name
    /// beside others; for roles in a claim that has another meaning; for a realm that needs quoting.
    pub fn build(self) -> Result<Jwt<C>, ConfigError> {
        self.check_audiences()?;
        self.check_names()?;
        for (setting, path) in [("roles_at", &self.roles), ("tenants_at", &self.tenants)] {
            let taken =
                path.first().is_none_or(|first| registered::NAMES.contains(&first.as_str()));
            if taken {
                let path = path.join("/");
                return Err(ConfigError::new(
                    setting,
                    path,
                    "name a claim that has no other meaning",
                ));
            }
        }
        for source in &self.sources {
            if let TokenSource::Cookie(name) = source
                && !is_cookie_name(name)
            {
                let remedy = "choose a name of letters, digits and hyphens, such as `__Host-token`";
                return Err(ConfigError::new("token_in_cookie", name.escape_debug(), remedy));
            }
        }
        let first = Issuer { name: self.issuer.map(Into::into), keys: self.keys.build()? };
        let others = self
            .others
            .into_iter()
            .map(|(name, keys)| Ok(Issuer { name: Some(name.into()), keys: keys.build()? }));
        let issuers = std::iter::once(Ok(first)).chain(others).collect::<Result<_, _>>()?;
        let sources =
            if self.sources.is_empty() { vec![TokenSource::Bearer] } else { self.sources };
        Ok(Jwt::of(Rules {
            issuers,
            expectations: Expectations {
                audiences: self.audiences,
                profile: self.profile,
                skew: self.skew.as_secs_f64(),
                max_lifetime: self.max_lifetime.map(|time| time.as_secs_f64()),
                max_age: self.max_age.map(|time| time.as_secs_f64()),
                roles: self.roles,
                tenants: self.tenants,
            },
            sources,
            csrf: self.csrf,
            cache: TokenCache::new(self.cache_bytes),
            cache_for: self.cache_for.as_secs_f64(),
            bad: BadSignatures::new(),
            cleared: 0.into(),
            challenges: Challenges::new(&self.realm)?,
            clock: self.clock,
        }))
    }

    fn check_audiences(&self) -> Result<(), ConfigError> {
        match (self.audiences.is_empty(), self.any_audience) {
            (true, false) => Err(ConfigError::without_value(
                "audience",
                "name the audience that tokens must be issued for with `.audience(\"…\")`, or write `.any_audience()`",
            )),
            (false, true) => Err(ConfigError::new(
                "any_audience",
                true,
                "it contradicts `.audience(…)`: keep one of them",
            )),
            _ => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        let issuers: Vec<&String> =
            self.issuer.iter().chain(self.others.iter().map(|(name, _)| name)).collect();
        let audiences = self.audiences.iter().map(|audience| ("audience", audience));
        for (setting, name) in issuers.iter().map(|name| ("issuer", *name)).chain(audiences) {
            if name.is_empty() {
                return Err(ConfigError::new(setting, name, "an empty name is no name"));
            }
        }
        if !self.others.is_empty() && self.issuer.is_none() {
            return Err(ConfigError::without_value(
                "issuer",
                "beside `.other_issuer(…)` the first one needs a name too: add `.issuer(\"…\")`",
            ));
        }
        let mut names = issuers;
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ConfigError::new(
                "issuer",
                pair[0],
                "it is there twice: give it one set of keys",
            )),
            None => Ok(()),
        }
    }
}
