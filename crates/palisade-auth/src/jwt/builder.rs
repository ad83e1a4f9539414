use std::{fmt, sync::Arc, time::Duration};

use http::HeaderName;
use palisade_core::{Clock, ConfigError, SystemClock};
use serde::de::DeserializeOwned;

use super::{
    cache::{BadSignatures, TokenCache},
    claims_type,
    issuer::Issuer,
    issuer_settings::{IssuerSettings, issuer_setters, profile_setter},
    keys::Keys,
    policy::{Jwt, Rules, TrustedIssuer},
    source::TokenSource,
};
use crate::{
    challenge::Challenges,
    cookies::is_cookie_name as is_token,
    csrf::CsrfCheck,
    sender::{SenderCheck, SenderSettings, sender_setters},
};

/// The settings of a [`Jwt`]. Made by [`Jwt::hs256`] and [`Jwt::with_keys`].
///
/// What tokens must contain and what they grant are settings of one issuer: the one whose keys were given first. Other
/// issuers are added by [`other_issuer`](Self::other_issuer), each with settings of its own. Where tokens are found and
/// how long they are remembered are settings of the policy.
pub struct JwtBuilder<C> {
    settings: IssuerSettings<C>,
    others: Vec<Issuer<C>>,
    sources: Vec<TokenSource>,
    csrf: CsrfCheck,
    sender: SenderSettings,
    cache_bytes: usize,
    cache_for: Duration,
    realm: String,
    clock: Arc<dyn Clock>,
}

/// The largest cache, in bytes. Its buckets are allocated at once.
const MAX_CACHE_BYTES: usize = 1 << 30;

impl<C: DeserializeOwned + Send + Sync + 'static> JwtBuilder<C> {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            settings: IssuerSettings::granting(keys),
            others: Vec::new(),
            sources: Vec::new(),
            csrf: CsrfCheck::new(),
            sender: SenderSettings::default(),
            cache_bytes: 8 * 1024 * 1024,
            cache_for: Duration::from_secs(60),
            realm: "api".to_owned(),
            clock: SystemClock::shared(),
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

    /// Accepts tokens in `Authorization: Bearer`. This is the default if no place is named; this names it beside others.
    #[must_use]
    pub fn token_in_bearer(self) -> Self {
        self.token_in_authorization("Bearer")
    }

    /// Accepts tokens in `Authorization` with another scheme, such as `Token`. The scheme that is named first is also the
    /// one of the challenges.
    #[must_use]
    pub fn token_in_authorization(mut self, scheme: impl Into<String>) -> Self {
        self.sources.push(TokenSource::Authorization(scheme.into()));
        self
    }

    /// Accepts tokens in a cookie of this name.
    ///
    /// A browser sends a cookie with requests of any page. So this turns the [`CsrfCheck`] on: a request with a cookie
    /// that may change something must come from a page of the same origin, and gets 403 otherwise.
    #[must_use]
    pub fn token_in_cookie(mut self, name: impl Into<String>) -> Self {
        self.sources.push(TokenSource::Cookie(name.into()));
        self
    }

    /// Sets the check for requests whose token is in a cookie, to trust other origins.
    #[must_use]
    pub fn csrf(mut self, check: CsrfCheck) -> Self {
        self.csrf = check;
        self
    }

    /// Accepts tokens in a header field that contains the token and nothing else.
    #[must_use]
    pub fn token_in_header(mut self, name: HeaderName) -> Self {
        self.sources.push(TokenSource::Header(name));
        self
    }

    /// Accepts tokens in `Sec-WebSocket-Protocol`, as an entry that begins with `prefix`. A browser cannot set other
    /// headers of a WebSocket: `new WebSocket(url, ["chat.v1", "bearer." + token])` with the prefix `bearer.`.
    ///
    /// The entry is removed before the request reaches the handler, which therefore cannot repeat the token in its
    /// response. The handler selects one of the other protocols, here `chat.v1`: a browser closes a connection whose
    /// response selects none, so the client must offer one beside the token.
    #[must_use]
    pub fn token_in_websocket_protocol(mut self, prefix: impl Into<String>) -> Self {
        self.sources.push(TokenSource::WebSocketProtocol(prefix.into()));
        self
    }

    /// Accepts tokens in a parameter of the query, from where they get into logs, histories and `Referer` fields
    /// (RFC 6750, section 2.3 advises against it).
    #[must_use]
    pub fn insecure_token_in_query(mut self, parameter: impl Into<String>) -> Self {
        self.sources.push(TokenSource::Query(parameter.into()));
        self
    }

    sender_setters!();

    /// Sets how much memory verified tokens may take, in bytes. Default: 8 MiB, about 4,000 tokens. At most 1 GiB. With 0
    /// no token is remembered. The user's claims are assumed to be as large as their token.
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
    /// If keys cannot be used (a short secret, an RSA key under 2048 bits, a private key); if an issuer has no audience,
    /// and neither [`any_audience`](Self::any_audience) nor
    /// [`clients_without_audience`](Self::clients_without_audience); if an issuer is empty, named twice, or without a
    /// name beside others or with [`access_tokens_only`](Self::access_tokens_only); if roles are read from a claim that
    /// has another meaning; if no token fits the type of the claims; if a cookie has no valid name, the cache is over
    /// 1 GiB, the skew over an hour, or the realm needs quoting.
    pub fn build(self) -> Result<Jwt<C>, ConfigError> {
        claims_type::check::<C>()?;
        for source in &self.sources {
            check_source(source)?;
        }
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
        let sources = if self.sources.is_empty() { vec![bearer()] } else { self.sources };
        let scheme = sources.iter().find_map(|source| match source {
            TokenSource::Authorization(scheme) => Some(scheme.as_str()),
            _ => None,
        });
        let challenges = Challenges::new(scheme.unwrap_or("Bearer"), &self.realm)?;
        Ok(Jwt::from_rules(Rules {
            issuers,
            sources,
            csrf: self.csrf,
            cache: TokenCache::new(self.cache_bytes),
            cache_for: self.cache_for.as_secs_f64(),
            bad: BadSignatures::new(),
            cleared: 0.into(),
            sender: SenderCheck::new(self.sender, &self.realm, &self.clock)?,
            challenges,
            clock: self.clock,
        }))
    }
}

fn bearer() -> TokenSource {
    TokenSource::Authorization("Bearer".to_owned())
}

fn check_source(source: &TokenSource) -> Result<(), ConfigError> {
    // A cookie's name, a scheme and a protocol have the same syntax: `token` (RFC 9110, section 5.6.2).
    let (setting, name, remedy) = match source {
        TokenSource::Cookie(name) => (
            "token_in_cookie",
            name,
            "choose a name of letters, digits and hyphens, such as `__Host-token`",
        ),
        TokenSource::Authorization(scheme) => {
            ("token_in_authorization", scheme, "name a scheme, such as `Token`")
        }
        TokenSource::WebSocketProtocol(prefix) => (
            "token_in_websocket_protocol",
            prefix,
            "choose a prefix of letters, digits, hyphens and dots, such as `bearer.`",
        ),
        TokenSource::Header(_) | TokenSource::Query(_) => return Ok(()),
    };
    if is_token(name) {
        Ok(())
    } else {
        Err(ConfigError::new(setting, name.escape_debug(), remedy))
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
            .field("sources", &self.sources)
            .field("csrf", &self.csrf)
            .field("cache_bytes", &self.cache_bytes)
            .field("cache_for", &self.cache_for)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}
