use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use palisade_core::{Clock, ConfigError, SystemClock};

use super::{
    client::Jwks, key_set::KeySet, remote::RemoteKeys, settings::Settings, source::Source,
};
use crate::fetch::{Fetch, default_client};

/// Builds a [`Jwks`]. Created by [`Jwks::url`] and [`Jwks::issuer`].
pub struct JwksBuilder {
    place: Location,
    fetch: Option<Arc<dyn Fetch>>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    loopback_http: bool,
}

#[derive(Debug)]
enum Location {
    KeySet(String),
    Issuer(String),
}

impl JwksBuilder {
    pub(super) fn for_key_set(url: String) -> Self {
        Self::new(Location::KeySet(url))
    }

    pub(super) fn for_issuer(issuer: String) -> Self {
        Self::new(Location::Issuer(issuer))
    }

    fn new(place: Location) -> Self {
        Self {
            place,
            fetch: None,
            settings: Settings {
                cache_for: Duration::from_secs(600),
                cool_down: Duration::from_secs(30),
                max_stale: Duration::from_secs(3600),
                timeout: Duration::from_secs(5),
            },
            clock: SystemClock::shared(),
            loopback_http: false,
        }
    }

    /// Uses this client. Default: [`HttpFetch`](crate::HttpFetch).
    #[must_use]
    pub fn fetch(mut self, client: impl Fetch) -> Self {
        self.fetch = Some(Arc::new(client));
        self
    }

    /// Sets how long keys are used before requests wait for newer ones. Default: 10 min. If the answer has a
    /// `Cache-Control: max-age`, that is used instead, between 1 min and 1 h.
    ///
    /// The keys are refreshed in the background when four fifths of this time have passed. A key that the issuer has
    /// withdrawn is accepted until then, or for this long at most if no request arrives meanwhile.
    #[must_use]
    pub fn cache_for(mut self, lifetime: Duration) -> Self {
        self.settings.cache_for = lifetime;
        self
    }

    /// Sets the pause between fetches for keys that the issuer turns out not to have. Default: 30 s.
    ///
    /// Any client can make up key ids and signatures: they cause at most one fetch in this time, and a single one of them
    /// leaves an attempt for a real key. A key is accepted no later than this after the issuer has published it.
    #[must_use]
    pub fn cool_down(mut self, pause: Duration) -> Self {
        self.settings.cool_down = pause;
        self
    }

    /// Sets how much longer than [`cache_for`](Self::cache_for) keys are used while the issuer does not answer. Default:
    /// 1 h. For so long an outage of the issuer has no effect, and a key that was withdrawn just before it still works.
    ///
    /// An issuer that answers is believed at once: with an empty set it has withdrawn all keys.
    #[must_use]
    pub fn max_stale(mut self, longest: Duration) -> Self {
        self.settings.max_stale = longest;
        self
    }

    /// Sets how long a fetch may take, including discovery. Default: 5 s. Requests wait no longer than this.
    #[must_use]
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.settings.timeout = longest;
        self
    }

    /// Uses this clock. The timeout of a fetch is tokio's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Accepts keys over plain http from loopback addresses, for tests and for development against a local issuer.
    #[must_use]
    pub fn insecure_allow_loopback_http(mut self) -> Self {
        self.loopback_http = true;
        self
    }

    /// Checks the settings. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// Returns an error for an address that is not https or has a user or a fragment; for a `cache_for` below 1 s or over
    /// 1 day; for a `cool_down` below 1 s or over 1 h; for a `max_stale` over 1 day; for a `timeout` of zero or over 1 min;
    /// and without a client, if the feature `jwks-http` is off.
    pub fn build(self) -> Result<Jwks, ConfigError> {
        self.remote().map(Jwks::new)
    }

    /// Builds the engine for any kind of key set.
    pub(super) fn remote<T: KeySet>(self) -> Result<RemoteKeys<T>, ConfigError> {
        const SECOND: Duration = Duration::from_secs(1);
        const HOUR: Duration = Duration::from_secs(3600);
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let Settings { cache_for, cool_down, max_stale, timeout } = self.settings;
        within("cache_for", cache_for, SECOND..=DAY)?;
        within("cool_down", cool_down, SECOND..=HOUR)?;
        within("max_stale", max_stale, Duration::ZERO..=DAY)?;
        within("timeout", timeout, Duration::from_millis(1)..=Duration::from_secs(60))?;
        let source = match &self.place {
            Location::KeySet(url) => Source::key_set(url, self.loopback_http)?,
            Location::Issuer(issuer) => Source::issuer(issuer, self.loopback_http)?,
        };
        let fetch = match self.fetch {
            Some(fetch) => fetch,
            None => default_client(self.loopback_http)?,
        };
        Ok(RemoteKeys::new(source, fetch, self.settings, self.clock))
    }
}

fn within(
    setting: &'static str,
    value: Duration,
    range: RangeInclusive<Duration>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let remedy = format!("choose between {:?} and {:?}", range.start(), range.end());
    Err(ConfigError::new(setting, format_args!("{value:?}"), remedy))
}

impl std::fmt::Debug for JwksBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwksBuilder")
            .field("place", &self.place)
            .field("settings", &self.settings)
            .field("loopback_http", &self.loopback_http)
            .finish_non_exhaustive()
    }
}
