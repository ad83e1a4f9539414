use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use palisade_core::{Clock, ConfigError, SystemClock};

use super::{
    client::Jwks,
    fetch::Fetch,
    remote::{KeySet, RemoteKeys, Settings},
    source::Source,
};

/// The settings of a [`Jwks`]. Made by [`Jwks::url`] and [`Jwks::issuer`].
pub struct JwksBuilder {
    place: Place,
    fetch: Option<Arc<dyn Fetch>>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    loopback_http: bool,
}

#[derive(Debug)]
enum Place {
    KeySet(String),
    Issuer(String),
}

impl JwksBuilder {
    pub(super) fn of_key_set(url: String) -> Self {
        Self::new(Place::KeySet(url))
    }

    pub(super) fn of_issuer(issuer: String) -> Self {
        Self::new(Place::Issuer(issuer))
    }

    fn new(place: Place) -> Self {
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

    /// Fetches with this client, instead of [`HttpFetch`](crate::HttpFetch).
    #[must_use]
    pub fn fetch(mut self, client: impl Fetch) -> Self {
        self.fetch = Some(Arc::new(client));
        self
    }

    /// How long keys are kept when the issuer does not say; 10 minutes unless said otherwise. When it does say, by
    /// `Cache-Control: max-age`, that counts, but not under a minute and not over an hour. They are refreshed when four
    /// fifths of it are over.
    #[must_use]
    pub fn cache_for(mut self, lifetime: Duration) -> Self {
        self.settings.cache_for = lifetime;
        self
    }

    /// How long the issuer is not asked again because of a key id that is not there, whatever the id; 30 seconds unless
    /// said otherwise. A new key may be refused for so long if it is used before it is published.
    #[must_use]
    pub fn cool_down(mut self, pause: Duration) -> Self {
        self.settings.cool_down = pause;
        self
    }

    /// How much longer keys are used that have expired and could not be refreshed; one hour unless said otherwise. For so
    /// long an issuer may be down unnoticed, and for so long a key that was withdrawn meanwhile still works.
    #[must_use]
    pub fn max_stale(mut self, longest: Duration) -> Self {
        self.settings.max_stale = longest;
        self
    }

    /// How long a fetch may take, discovery included; 5 seconds unless said otherwise. Requests wait no longer than that.
    #[must_use]
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.settings.timeout = longest;
        self
    }

    /// Takes the time from this clock. The time-out of a fetch is tokio's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes keys over plain http from addresses of this machine: for tests, and for development against a local issuer.
    #[must_use]
    pub fn insecure_allow_loopback_http(mut self) -> Self {
        self.loopback_http = true;
        self
    }

    /// Checks the settings. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// For an address that is not https or has a user or a fragment in it; for a lifetime under a second or over a day; for
    /// a cool-down under a second or over an hour; for a stale time over a day; for a time-out of zero or over a minute;
    /// for no client, without the feature `jwks-http`.
    pub fn build(self) -> Result<Jwks, ConfigError> {
        self.remote().map(Jwks::new)
    }

    /// The same for any kind of key set.
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
            Place::KeySet(url) => Source::key_set(url, self.loopback_http)?,
            Place::Issuer(issuer) => Source::issuer(issuer, self.loopback_http)?,
        };
        let fetch = match self.fetch {
            Some(fetch) => fetch,
            None => own_client(self.loopback_http)?,
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

#[cfg(feature = "jwks-http")]
fn own_client(loopback_http: bool) -> Result<Arc<dyn Fetch>, ConfigError> {
    let client = super::HttpFetch::new()?;
    Ok(Arc::new(if loopback_http { client.insecure_allow_loopback_http() } else { client }))
}

#[cfg(not(feature = "jwks-http"))]
fn own_client(_: bool) -> Result<Arc<dyn Fetch>, ConfigError> {
    Err(ConfigError::without_value(
        "fetch",
        "give an HTTP client with `.fetch(…)`, or switch on the feature `jwks-http`",
    ))
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
