use std::{
    error::Error,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{request, response};
use palisade_core::{ApiError, Clock, ConfigError, Decision, Policy, PolicyLayer, SystemClock};

use crate::{
    ByAddress, ByPrincipal, Key, Quota, Standing,
    headers::{Fields, RATELIMIT, RATELIMIT_POLICY},
    table::{Outcome, Table},
    window::Window,
};

/// A limit on how often a client may call, as a policy. Clones count together.
///
/// A request over the quota is refused with 429, `Retry-After` and no look at its body; over gRPC with
/// `RESOURCE_EXHAUSTED`. It is not charged. Every response, admitted or refused, says where the client stands in
/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). Several limits on one request add a
/// field each, so give each a [name](RateLimitBuilder::name).
///
/// ```
/// use std::time::Duration;
/// use palisade_rate_limit::{Quota, RateLimit};
/// use tower::ServiceBuilder;
///
/// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build()?;
/// let services = ServiceBuilder::new().layer(limit.layer());
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct RateLimit<K = ByAddress> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    key: K,
    quota: Quota,
    window: Window,
    table: Table,
    /// Keys are chosen by clients, and two with the same hash share a quota: SipHash with a random seed, so that nobody
    /// can look for a name that uses up somebody else's.
    hasher: RandomState,
    clock: Arc<dyn Clock>,
    name: Box<str>,
    fields: Fields,
    has_said_what_is_missing: AtomicBool,
}

/// Makes a [`RateLimit`]. See [`RateLimit::per_address`] and [`RateLimit::per_principal`].
///
/// ```
/// use std::time::Duration;
/// use palisade_rate_limit::{Quota, RateLimit};
///
/// let limit = RateLimit::per_principal(Quota::per(1000, Duration::from_secs(3600)))
///     .name("per-user")
///     .capacity(20_000)
///     .build()?;
/// assert_eq!(limit.quota().limit(), 1000);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct RateLimitBuilder<K> {
    key: K,
    quota: Quota,
    keys: usize,
    clock: Arc<dyn Clock>,
    name: Box<str>,
}

impl RateLimit<ByAddress> {
    /// A limit for each client address; an IPv6 address counts by its /64. It belongs outside authentication, where it
    /// protects that too.
    ///
    /// The server has to leave the address on the request (see [`ClientIp`](palisade_core::ClientIp)). Where it does
    /// not, every request is refused with 500, and one line of the log says what to add.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn per_address(quota: Quota) -> RateLimitBuilder<ByAddress> {
        RateLimit::per_key(ByAddress, quota)
    }
}

impl RateLimit<ByPrincipal> {
    /// A limit for each caller, by issuer and subject. It belongs inside authentication, which leaves the
    /// [`Principal`](palisade_core::Principal); where there is none, the request is refused with 500.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_principal(Quota::per(1000, Duration::from_secs(60))).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn per_principal(quota: Quota) -> RateLimitBuilder<ByPrincipal> {
        RateLimit::per_key(ByPrincipal, quota)
    }
}

impl<K: Key> RateLimit<K> {
    /// A limit that counts by a [`Key`] of your own.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// use http::request;
    /// use palisade_core::ApiError;
    /// use palisade_rate_limit::Key;
    ///
    /// /// All clients together.
    /// struct Everybody;
    ///
    /// impl Key for Everybody {
    ///     type Of<'r> = ();
    ///     fn key(&self, _: &request::Parts) -> Result<(), ApiError> { Ok(()) }
    /// }
    ///
    /// let limit = RateLimit::per_key(Everybody, Quota::per(5000, Duration::from_secs(1))).capacity(1).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn per_key(key: K, quota: Quota) -> RateLimitBuilder<K> {
        RateLimitBuilder {
            key,
            quota,
            keys: 100_000,
            clock: SystemClock::shared(),
            name: "default".into(),
        }
    }

    /// The limit as a tower layer. All services that it makes, and all other layers of this limit, count together.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// # use tower::{Layer, service_fn};
    /// # let service = service_fn(|_: http::Request<String>| async { Ok::<_, ()>(http::Response::new(String::new())) });
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build().unwrap();
    /// let service = limit.layer().layer(service);
    /// ```
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

impl<K> RateLimit<K> {
    /// The quota of each key.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let quota = Quota::per(100, Duration::from_secs(60));
    /// assert_eq!(RateLimit::per_address(quota.clone()).build().unwrap().quota(), &quota);
    /// ```
    pub fn quota(&self) -> &Quota {
        &self.shared.quota
    }

    /// What the table of keys occupies, in bytes. It is the same before the first request and after the last.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build().unwrap();
    /// assert!(limit.table_bytes() < 5_000_000, "100,000 keys");
    /// ```
    pub fn table_bytes(&self) -> usize {
        self.shared.table.bytes()
    }
}

impl<K: Key> RateLimitBuilder<K> {
    /// For how many keys the table has room: those that are active within two windows. Default 100,000, which is
    /// 3.2 MB; each key is 32 bytes (a slot has 24, and a quarter of the slots is spare), taken when the limit is
    /// built. The table never grows, and idle keys cost nothing.
    ///
    /// With more active keys than this, those with the most requests keep their counts, and new ones start with part
    /// of their quota used, never with more than their quota. No flood resets a limit.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).capacity(1_000_000);
    /// ```
    pub fn capacity(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    /// Takes the time from `clock`, of which only [`monotonic`](Clock::monotonic) is read.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// use palisade_core::ManualClock;
    ///
    /// let clock = ManualClock::default();
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).clock(Arc::new(clock.clone()));
    /// ```
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Names the limit to clients, in its two response fields, and in the log. Default `default`. At most 64 printable
    /// ASCII characters without quotes and backslashes: a string of RFC 9651, section 3.3.3.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let burst = RateLimit::per_address(Quota::per(20, Duration::from_secs(1))).name("burst");
    /// let daily = RateLimit::per_address(Quota::per(10_000, Duration::from_secs(86_400))).name("daily");
    /// ```
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Builds the limit and takes the memory of its table.
    ///
    /// # Errors
    ///
    /// If the window has no length or more than 146 years, the capacity is 0 or does not fit in memory, or the name
    /// is not valid.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let error = RateLimit::per_address(Quota::per(100, Duration::ZERO)).build().unwrap_err();
    /// assert_eq!(error.setting(), "window");
    /// ```
    pub fn build(self) -> Result<RateLimit<K>, ConfigError> {
        let window = Window::new(self.quota.limit(), self.quota.window_nanos()?);
        let fields = Fields::new(&self.name, &self.quota)?;
        Ok(RateLimit {
            shared: Arc::new(Shared {
                key: self.key,
                quota: self.quota,
                window,
                table: Table::for_keys(self.keys)?,
                hasher: RandomState::new(),
                clock: self.clock,
                name: self.name,
                fields,
                has_said_what_is_missing: AtomicBool::new(false),
            }),
        })
    }
}

impl<K: Key> Policy for RateLimit<K> {
    type Grant = Standing;

    /// Checks the key's count and charges it, in one step.
    fn decide(&self, request: &request::Parts) -> Decision<Standing> {
        let limit = &*self.shared;
        let key = match limit.key.key(request) {
            Ok(key) => limit.hasher.hash_one(key),
            Err(error) => return Decision::refuse(limit.without_key(error)),
        };
        match limit.table.charge(&limit.window, key, limit.now(), 1) {
            Outcome::Admitted(standing) => Decision::grant(standing),
            Outcome::Refused(wait) => Decision::refuse(limit.refusal(wait)),
        }
    }

    fn finish(&self, standing: Standing, response: &mut response::Parts) {
        let fields = &self.shared.fields;
        let standing = fields.standing(standing.remaining, Some(standing.more_in_nanos));
        // Limits further inside have written theirs, and a list may be several fields.
        response.headers.append(RATELIMIT_POLICY, fields.policy());
        response.headers.append(RATELIMIT, standing);
    }
}

impl<K> Shared<K> {
    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    #[cold]
    fn refusal(&self, wait: Option<u64>) -> ApiError {
        let error = ApiError::rate_limited()
            .with_header(RATELIMIT_POLICY, self.fields.policy())
            .with_header(RATELIMIT, self.fields.standing(0, wait));
        match wait {
            Some(nanos) => error.with_retry_after(Duration::from_nanos(nanos)),
            // Waiting cannot help, and no time to come back is the only honest one.
            None => error,
        }
    }

    /// A limit that cannot tell whom it counts refuses: passing would be a limit that is not there.
    #[cold]
    fn without_key(&self, error: ApiError) -> ApiError {
        let ours = error.status().is_server_error();
        if ours && !self.has_said_what_is_missing.swap(true, Ordering::Relaxed) {
            let fix = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(
                limit = &*self.name,
                "a rate limit refuses every request with 500: {fix}"
            );
        }
        error
    }
}

impl<K> Clone for RateLimit<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> fmt::Debug for RateLimit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("name", &self.shared.name)
            .field("quota", &self.shared.quota)
            .finish_non_exhaustive()
    }
}

impl<K> fmt::Debug for RateLimitBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitBuilder")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .field("capacity", &self.keys)
            .finish_non_exhaustive()
    }
}
