use std::{sync::Arc, time::Duration};

use palisade_core::{Clock, ConfigError, SystemClock};

/// Limits the calls of [`allow_origin_lookup`](crate::CorsBuilder::allow_origin_lookup), and sets how long results are cached.
///
/// CORS comes before authentication and rate limits, so any client can send invented origins. Without limits each of them would
/// cause a query to a database.
///
/// ```
/// use std::time::Duration;
/// use palisade_cors::{Cors, LookupLimits};
///
/// let cors = Cors::builder()
///     .allow_origin_lookup(|origin| async move { Ok::<_, std::io::Error>(origin == "https://shop.example") })
///     .lookup_limits(
///         LookupLimits::default()
///             .timeout(Duration::from_millis(250))
///             .remember_allowed(Duration::from_secs(300)),
///     )
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `CorsBuilder::lookup_limits`"]
pub struct LookupLimits {
    pub(super) timeout: Duration,
    pub(super) concurrency: usize,
    pub(super) per_client: u32,
    pub(super) remember_allowed: Duration,
    pub(super) remember_refused: Duration,
    pub(super) capacity: usize,
    pub(super) clock: Arc<dyn Clock>,
}

/// The limits described at each method.
impl Default for LookupLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            concurrency: 16,
            per_client: 20,
            remember_allowed: Duration::from_secs(60),
            remember_refused: Duration::from_secs(10),
            capacity: 4096,
            clock: SystemClock::shared(),
        }
    }
}

impl LookupLimits {
    /// Sets how long a request waits for a lookup, including the wait for a free slot. Then the lookup has failed. From 1 ms to
    /// 60 s. Default: 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Limits how many lookups run at the same time. Further requests wait for one of them to end. Requests with one
    /// origin share a lookup. At least 1. With more than [`per_client`](Self::per_client), a client that sends many allowed origins at
    /// the same time may use its limit up until they are answered. Default: 16.
    pub fn concurrency(mut self, lookups: usize) -> Self {
        self.concurrency = lookups;
        self
    }

    /// Sets how many origins without a result of "allowed" are looked up for one client address in 10 s. Lookups of further
    /// origins fail, unless they are cached. At least 1. Default: 20.
    ///
    /// IPv6 addresses count by their /64 network. Clients without an address count as one.
    pub fn per_client(mut self, origins: u32) -> Self {
        self.per_client = origins;
        self
    }

    /// Sets how long an allowed origin is cached. An origin that is removed from the database stays allowed for this time. Zero
    /// disables the cache. Default: 60 s.
    pub fn remember_allowed(mut self, time: Duration) -> Self {
        self.remember_allowed = time;
        self
    }

    /// Sets how long an origin that is not allowed is cached. An origin that is added to the database is rejected for this time
    /// if it was looked up before. Zero disables the cache. Default: 10 s.
    pub fn remember_refused(mut self, time: Duration) -> Self {
        self.remember_refused = time;
        self
    }

    /// Limits how many allowed and how many refused origins are remembered. The two are kept apart, so that made-up origins
    /// never evict an allowed one. At least 2. Default: 4096 of each, with at most 267 bytes for an origin.
    pub fn capacity(mut self, origins: usize) -> Self {
        self.capacity = origins;
        self
    }

    /// Takes the time from another clock. For tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |value: String, remedy: &'static str| {
            Err(ConfigError::new("lookup_limits", value, remedy))
        };
        let timeouts = Duration::from_millis(1)..=Duration::from_secs(60);
        if !timeouts.contains(&self.timeout) {
            return wrong(format!("timeout({:?})", self.timeout), "use 1 ms to 60 s");
        }
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            return wrong(format!("concurrency({})", self.concurrency), "use 1 to 65536");
        }
        if self.per_client == 0 {
            return wrong(
                "per_client(0)".into(),
                "use at least 1: with 0 no origin would be looked up",
            );
        }
        if self.capacity < 2 {
            let remedy = "use at least 2; remember_allowed and remember_refused with Duration::ZERO store nothing";
            return wrong(format!("capacity({})", self.capacity), remedy);
        }
        Ok(())
    }
}

const MAX_CONCURRENCY: usize = 65_536;
