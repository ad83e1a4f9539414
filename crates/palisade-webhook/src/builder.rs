use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{Clock, ConfigError, Secret, SystemClock};

use crate::{
    Replays, Webhook,
    key::Keys,
    scheme::Scheme,
    timestamp::Tolerance,
    webhook::{Rules, Verify},
};

/// The settings of a [`Webhook`]. Made by its constructors, one for each scheme.
///
/// ```
/// use std::time::Duration;
/// use palisade_webhook::{InMemoryReplays, Replays, Webhook};
///
/// let layer = Webhook::slack("8f742231b10e8888abcd99yyyzzz85a5")
///     .tolerance(Duration::from_secs(60))
///     .limit(256 * 1024) // bytes
///     .replays(Replays::new(InMemoryReplays::new(10_000)?))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct WebhookBuilder {
    scheme: Result<Box<dyn Scheme>, ConfigError>,
    first_key_id: String,
    first_secret: Secret,
    secrets: Vec<(String, Secret)>,
    tolerance: Option<Duration>,
    limit: usize,
    replays: Option<Replays>,
    clock: Arc<dyn Clock>,
}

impl WebhookBuilder {
    pub(crate) fn new(scheme: Result<Box<dyn Scheme>, ConfigError>, secret: Secret) -> Self {
        Self {
            scheme,
            first_key_id: "default".to_owned(),
            first_secret: secret,
            secrets: Vec::new(),
            tolerance: None,
            limit: 1024 * 1024,
            replays: None,
            clock: SystemClock::shared(),
        }
    }

    /// What the first secret is called in [`Verified::key_id`](crate::Verified::key_id); `default` unless said
    /// otherwise.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.first_key_id = key_id.into();
        self
    }

    /// Another secret that is active, while one is rotated; 5 at most in all.
    #[must_use]
    pub fn and_secret(mut self, key_id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        self.secrets.push((key_id.into(), secret.into()));
        self
    }

    /// How far a timestamp may be from now, in the past and in the future; 5 minutes unless said otherwise, and never
    /// without a limit. Counted in whole seconds.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// Reads at most this many bytes of a body; 1 MiB unless said otherwise.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Remembers what was processed. Without this a request that was seen can be sent again until its timestamp is too
    /// old, and where there is no timestamp for ever.
    #[must_use]
    pub fn replays(mut self, replays: Replays) -> Self {
        self.replays = Some(replays);
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
    /// For a secret that is empty, too short or written as no secret of the scheme is; for more than 5 of them, or two
    /// of the same name; for a tolerance of nothing or of more than a day, or for a scheme that has no timestamp; for
    /// replays that are not kept for twice the tolerance; for a description of a scheme that makes no sense.
    pub fn build(self) -> Result<Webhook, ConfigError> {
        let scheme = self.scheme?;
        let mut keys = vec![(self.first_key_id.into(), scheme.key(&self.first_secret)?)];
        for (key_id, secret) in self.secrets {
            keys.push((key_id.into(), scheme.key(&secret)?));
        }
        let tolerance = match (scheme.is_dated(), self.tolerance) {
            (true, tolerance) => Some(Tolerance::new(tolerance.unwrap_or(Tolerance::DEFAULT))?),
            (false, None) => None,
            (false, Some(tolerance)) => {
                return Err(ConfigError::new(
                    "tolerance",
                    format!("{tolerance:?}"),
                    format!(
                        "{} signs no time, so leave it out; `Replays::by_content` is what helps there",
                        scheme.name()
                    ),
                ));
            }
        };
        let replays = self
            .replays
            .map(|replays| replays.ready(scheme.name(), tolerance, Arc::clone(&self.clock)));
        let rules = Rules {
            keys: Keys::new(keys)?,
            tolerance,
            clock: self.clock,
            replays: replays.transpose()?.map(Arc::new),
            scheme,
        };
        Ok(Webhook::of(Verify { rules: Arc::new(rules) }, self.limit))
    }
}

impl fmt::Debug for WebhookBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_ref().map(|scheme| scheme.name());
        f.debug_struct("WebhookBuilder")
            .field("scheme", &scheme)
            .field("secrets", &(1 + self.secrets.len()))
            .field("tolerance", &self.tolerance)
            .field("limit", &self.limit)
            .field("replays", &self.replays)
            .finish_non_exhaustive()
    }
}
