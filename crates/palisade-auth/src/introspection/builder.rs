use std::{
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::Duration,
};

use palisade_core::{ConfigError, Secret};
use serde::de::DeserializeOwned;

use super::{
    answers::Answers,
    client::ClientAuthentication,
    policy::Introspection,
    state::{Introspector, State},
};
use crate::{
    access_token::{TokenSettings, token_setters},
    fetch::{Fetch, parse_address},
    jwt::{IssuerSettings, check_claims_type, issuer_setters},
};

/// The greatest memory for answers.
const MAX_CACHE_BYTES: usize = 1 << 30;

/// Builds an [`Introspection`]. Created by [`Introspection::endpoint`].
pub struct IntrospectionBuilder<C> {
    endpoint: String,
    authentication: Option<ClientAuthentication>,
    fetch: Option<Arc<dyn Fetch>>,
    settings: IssuerSettings<C>,
    tokens: TokenSettings,
    cache_for: Duration,
    cache_negative_for: Duration,
    cache_bytes: usize,
    max_stale: Duration,
    timeout: Duration,
    loopback_http: bool,
}

impl<C: DeserializeOwned + Send + Sync + 'static> IntrospectionBuilder<C> {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            authentication: None,
            fetch: None,
            settings: IssuerSettings::introspected(),
            tokens: TokenSettings::new(),
            cache_for: Duration::from_secs(30),
            cache_negative_for: Duration::from_secs(5),
            cache_bytes: 8 * 1024 * 1024,
            max_stale: Duration::ZERO,
            timeout: Duration::from_secs(5),
            loopback_http: false,
        }
    }

    /// Authenticates to the issuer with a client id and secret in the `Authorization` header (`client_secret_basic`: RFC
    /// 6749, section 2.3.1). One way to authenticate is required.
    #[must_use]
    pub fn client_secret_basic(mut self, id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        let (id, secret) = (id.into(), secret.into());
        self.authentication = Some(ClientAuthentication::Basic { id, secret });
        self
    }

    /// Authenticates to the issuer with a client id and secret in the form (`client_secret_post`: RFC 6749, section
    /// 2.3.1), for issuers that do not support [`client_secret_basic`](Self::client_secret_basic).
    #[must_use]
    pub fn client_secret_post(mut self, id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        let (id, secret) = (id.into(), secret.into());
        self.authentication = Some(ClientAuthentication::Post { id, secret });
        self
    }

    /// Authenticates to the issuer with an access token of the service itself (RFC 7662, section 2.1).
    #[must_use]
    pub fn bearer_token(mut self, token: impl Into<Secret>) -> Self {
        self.authentication = Some(ClientAuthentication::Bearer(token.into()));
        self
    }

    /// Requires this issuer: if the answer contains `iss`, it must equal this name, byte for byte; and the
    /// [`Principal`](palisade_core::Principal) has this issuer, also if the answer does not name one.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.settings.name = Some(issuer.into());
        self
    }

    issuer_setters!(C);

    token_setters!();

    /// Uses this client. Default: [`HttpFetch`](crate::HttpFetch). A client of your own must implement
    /// [`Fetch::post`].
    #[must_use]
    pub fn fetch(mut self, client: impl Fetch) -> Self {
        self.fetch = Some(Arc::new(client));
        self
    }

    /// Sets how long an active token is accepted before the issuer is asked again, but never beyond its `exp`. Default: 30
    /// s. A token that is revoked meanwhile is accepted for so long. 0 asks for each request.
    #[must_use]
    pub fn cache_for(mut self, time: Duration) -> Self {
        self.cache_for = time;
        self
    }

    /// Sets how long a token that is not active is rejected before the issuer is asked again. Default: 5 s.
    #[must_use]
    pub fn cache_negative_for(mut self, time: Duration) -> Self {
        self.cache_negative_for = time;
        self
    }

    /// Sets the memory for active tokens, in bytes. Default: 8 MiB, about 10,000 tokens. 0 stores none. The claims are
    /// taken to be as large as the answer.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets how much longer than [`cache_for`](Self::cache_for) an active token is accepted while the issuer does not
    /// answer, but never beyond its `exp`. Default: 0, because a token may have been revoked.
    #[must_use]
    pub fn max_stale(mut self, longest: Duration) -> Self {
        self.max_stale = longest;
        self
    }

    /// Sets how long a question to the issuer may take. Default: 5 s. A request waits for one question; at most for two after
    /// an outage or after [`clear`](Introspection::clear).
    #[must_use]
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.timeout = longest;
        self
    }

    /// Asks over plain http on loopback addresses, for tests and for development against a local issuer.
    #[must_use]
    pub fn insecure_allow_loopback_http(mut self) -> Self {
        self.loopback_http = true;
        self
    }

    /// Checks the settings. The issuer is not asked yet.
    ///
    /// # Errors
    ///
    /// Returns an error for an address that is not https or has a user or a fragment; without client authentication; without
    /// an audience, unless [`any_audience`](Self::any_audience) is set; for a time over 1 day, and a `timeout` of zero or
    /// over 1 min; for a `cache_bytes` over 1 GiB; for settings of `dpop` out of range; for a cookie, scheme or prefix that is
    /// not a valid name; for a realm that needs quoting; and without a client, if the feature `jwks-http` is off.
    pub fn build(self) -> Result<Introspection<C>, ConfigError> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        check_claims_type::<C>()?;
        let up_to_a_day = Duration::ZERO..=DAY;
        within("cache_for", self.cache_for, &up_to_a_day)?;
        within("cache_negative_for", self.cache_negative_for, &up_to_a_day)?;
        within("max_stale", self.max_stale, &up_to_a_day)?;
        let timeouts = Duration::from_millis(1)..=Duration::from_secs(60);
        within("timeout", self.timeout, &timeouts)?;
        if self.cache_bytes > MAX_CACHE_BYTES {
            let remedy = "use at most 1 GiB, `1 << 30`";
            return Err(ConfigError::new("cache_bytes", self.cache_bytes, remedy));
        }
        let endpoint = parse_address(&self.endpoint, self.loopback_http)
            .map_err(|remedy| ConfigError::new("introspection endpoint", &self.endpoint, remedy))?;
        let authentication = self.authentication.ok_or_else(|| {
            let remedy = "issuers respond to authenticated clients only: set the id and secret of this service with `.client_secret_basic(…)`";
            ConfigError::without_value("client authentication", remedy)
        })?;
        let fetch = match self.fetch {
            Some(fetch) => fetch,
            None => crate::fetch::default_client(self.loopback_http)?,
        };
        let shared = Introspector {
            endpoint,
            fetch,
            authentication: authentication.build()?,
            expectations: self.settings.build_expectations()?,
            clock: Arc::clone(&self.tokens.clock),
            tokens: self.tokens.build()?,
            cache_for: self.cache_for,
            cache_negative_for: self.cache_negative_for,
            max_stale: self.max_stale,
            timeout: self.timeout,
            state: Mutex::new(State::new(Answers::new(self.cache_bytes))),
        };
        Ok(Introspection { shared: Arc::new(shared) })
    }
}

fn within(
    setting: &'static str,
    value: Duration,
    range: &RangeInclusive<Duration>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let remedy = format!("choose between {:?} and {:?}", range.start(), range.end());
    Err(ConfigError::new(setting, format_args!("{value:?}"), remedy))
}

impl<C> fmt::Debug for IntrospectionBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionBuilder")
            .field("endpoint", &self.endpoint)
            .field("tokens", &self.tokens)
            .field("loopback_http", &self.loopback_http)
            .finish_non_exhaustive()
    }
}
