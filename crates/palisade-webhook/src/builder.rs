use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{Clock, ConfigError, Secret, SystemClock};

use crate::{
    Replays, Webhook,
    key::Keys,
    scheme::Scheme,
    timestamp::Tolerance,
    webhook::{Rules, Verify},
};

/// Configures a [`Webhook`]. Created by its constructors, one for each scheme.
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

    /// Names the first secret in [`Verified::key_id`](crate::Verified::key_id). Default: `default`.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.first_key_id = key_id.into();
        self
    }

    /// Adds an active secret, for a rotation. At most 5.
    #[must_use]
    pub fn and_secret(mut self, key_id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        self.secrets.push((key_id.into(), secret.into()));
        self
    }

    /// Sets the accepted age of a timestamp, in the past and in the future, in whole seconds. Default: 5 minutes. There is
    /// always a limit.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// Limits the size of bodies, in bytes. Default: 1 MiB.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Rejects deliveries that were processed before. Without this setting a captured request can be repeated until its
    /// timestamp is too old, or forever if the scheme has no timestamp.
    #[must_use]
    pub fn replays(mut self, replays: Replays) -> Self {
        self.replays = Some(replays);
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// If a secret is empty, too short or malformed; if there are more than 5 secrets, or two with the same name; if the
    /// tolerance is 0, more than a day, or set for a scheme without timestamps; if replays are kept for less than twice the
    /// tolerance; if the description of a scheme is contradictory.
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
                        "{} does not sign a timestamp: remove the tolerance, and use `Replays::by_content` against replays",
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
        Ok(Webhook::from_policy(Verify { rules: Arc::new(rules) }, self.limit))
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
