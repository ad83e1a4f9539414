mod counting;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use http::HeaderName;
use palisade_core::{Clock, ConfigError, SystemClock};

use crate::{
    Key, MissingKey, QuotaHeaders, Quotas, RateLimit,
    blocks::{Ban, Blocks},
    key::hash::KeyHash,
    limiter::{CostOf, Counts, Limiter, Matches, Settings},
    quota_source::{Choose, LocalCounting, QuotaChooser, QuotaSet, QuotaSource, ReplaceableQuotas},
    request_tables::RequestTables,
    waiting::Waiting,
};

/// Builds a [`RateLimit`]. See [`RateLimit::per_address`], [`RateLimit::per_principal`] and [`RateLimit::per_key`].
///
/// ```
/// use std::time::Duration;
/// use palisade_rate_limit::{Ban, MissingKey, Quota, QuotaHeaders, RateLimit};
///
/// let hour = Duration::from_secs(3600);
/// let limit = RateLimit::per_principal(Quota::per(1000, hour))
///     .name("per-user")
///     .capacity(20_000)
///     .cost(|head| if head.uri.path().starts_with("/export") { 20 } else { 1 })
///     .skip(|head| head.uri.path() == "/healthz")
///     .missing_key(MissingKey::Share)
///     .headers(QuotaHeaders::XRateLimit)
///     .ban(Ban::after(50, hour))
///     .build()?;
/// assert_eq!(limit.quotas()[0].name(), "per-user");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct RateLimitBuilder<K> {
    key: K,
    quotas: Quotas,
    choose: Option<Box<Choose>>,
    keys: usize,
    clock: Arc<dyn Clock>,
    name: Option<Box<str>>,
    cost: Option<Box<CostOf>>,
    skip: Option<Box<Matches>>,
    counts: Option<Box<Counts>>,
    missing_key: MissingKey,
    headers: QuotaHeaders,
    ban: Option<Ban>,
    settles: bool,
    has_status: bool,
    wait: Option<(Duration, usize)>,
    cost_trailer: Option<HeaderName>,
    /// The fraction of keys that is enforced.
    enforced: f64,
    #[cfg(feature = "store")]
    store: Option<crate::SharedStore>,
}

impl<K: Key> RateLimitBuilder<K> {
    pub(crate) fn new(key: K, quotas: Quotas) -> Self {
        Self {
            key,
            quotas,
            choose: None,
            keys: 100_000,
            clock: SystemClock::shared(),
            name: None,
            cost: None,
            skip: None,
            counts: None,
            missing_key: MissingKey::Refuse,
            headers: QuotaHeaders::Draft10,
            ban: None,
            settles: false,
            has_status: true,
            wait: None,
            cost_trailer: None,
            enforced: 1.0,
            #[cfg(feature = "store")]
            store: None,
        }
    }

    /// Sets how many keys can be active within two windows. Default: 100,000. The memory is allocated when the limit is built
    /// and never grows.
    ///
    /// | quota | bytes a key |
    /// | --- | --- |
    /// | sliding or fixed window, limit at most 65,534, window at least 0.1 s | 32 |
    /// | other sliding and fixed windows | 48 |
    /// | `gcra` | 37 |
    /// | `strict` | 91 |
    /// | `exact_log` | 27, and 11 for each request of its limit; at most 256 MiB in all |
    ///
    /// With more active keys than this, the keys with the most requests keep their counts, and a sketch records what the others
    /// have used, so that no flood resets a limit. Fewer than 1 % of the first requests of new keys are rejected until a flood
    /// has sent ten times limit × capacity requests (limits up to 511), nine times (up to 1,023), eight times (up to 4,095) or
    /// six times (above). Then a warning is logged, and the metric `palisade_limit_floor_reached_total` counts the rejections.
    pub fn capacity(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    /// Sets the clock. The limit reads [`monotonic`](Clock::monotonic), and [`unix`](Clock::unix) for
    /// [`QuotaHeaders::XRateLimitEpoch`] and calendar quotas. Default: the system's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the name of the limit in the log and in a shared store, and the default [name](crate::Quota::named) of its quotas.
    /// Default: `default`. A shared limit requires a name, because limits with the same name share their counts.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Blocks keys that continue to send requests after many rejections. A request of a blocked key is rejected with 429 and the
    /// remaining time in `Retry-After`. It is not counted and does not lengthen the block. Default: no ban.
    ///
    /// With a shared store that [can ban](crate::Store::can_ban), such as Redis, the rejections of all machines count together,
    /// and the key is blocked on all of them. Rejections are not cached then: until the key is blocked, each of its requests
    /// asks the store.
    pub fn ban(mut self, ban: Ban) -> Self {
        self.ban = Some(ban);
        self
    }

    /// Delays requests instead of rejecting them, as tower's `RateLimit` does: each for at most `max_wait`, and at most
    /// `max_waiting` requests of all keys at the same time. Default: no request waits.
    ///
    /// A request waits if it would be admitted within `max_wait`. Its body is not read meanwhile. The requests of one key are
    /// admitted in the order of their arrival. A cancelled request frees its place. Requests are rejected if they would have to
    /// wait longer, if too many requests wait already, or if earlier requests of the key delay them for too long. Without a
    /// tokio runtime no request waits.
    ///
    /// Each waiting request keeps its connection or stream open. With a shared store, the limit asks the store again after the
    /// wait.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// // Ten requests a second at an even rate; requests of a burst wait for up to two seconds.
    /// let limit = RateLimit::per_address(Quota::per(10, Duration::from_secs(1)).gcra_with_burst(1))
    ///     .wait(Duration::from_secs(2), 1000)
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn wait(mut self, max_wait: Duration, max_waiting: usize) -> Self {
        self.wait = Some((max_wait, max_waiting));
        self
    }

    /// Admits requests over a quota, and logs the name of the quota at level INFO with the target `palisade::shadow`. Such a
    /// request is not charged, so the log shows the effect of enforcing the limit. Responses have no rate
    /// limit fields.
    pub fn shadow(self) -> Self {
        self.enforce_sample(0.0)
    }

    /// Enforces the limit for this fraction of the keys, from 0 to 1, and treats the others as [`shadow`](Self::shadow) does.
    /// A key stays in its group for the life of the process. Default: 1, for all keys.
    pub fn enforce_sample(mut self, fraction: f64) -> Self {
        self.enforced = fraction;
        self
    }

    /// Adds no [`RateLimitStatus`](crate::RateLimitStatus) to requests, which saves an allocation for each. For handlers that do
    /// not read it.
    pub fn without_status(mut self) -> Self {
        self.has_status = false;
        self
    }

    /// Sets what a request without a key gets. Default: [`MissingKey::Refuse`].
    pub fn missing_key(mut self, missing: MissingKey) -> Self {
        self.missing_key = missing;
        self
    }

    /// Sets the response fields that report quotas to clients. Default: [`QuotaHeaders::Draft10`].
    pub fn headers(mut self, headers: QuotaHeaders) -> Self {
        self.headers = headers;
        self
    }

    /// Counts in a store that several machines share. All of them must give the limit the same name, key and quotas.
    ///
    /// The limit asks the store once for each request, for all quotas together, and needs a tokio runtime.
    /// [`SharedStore`](crate::SharedStore) sets what happens if the store fails.
    #[cfg(feature = "store")]
    pub fn store(mut self, store: crate::SharedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Builds the limit and allocates its tables.
    ///
    /// # Errors
    ///
    /// If a quota is not valid (a window of 0 or more than 146 years, an exact log of more than 1000 requests or 256 MiB, more
    /// than one request a nanosecond), if there are no quotas or more than four, if a name is not valid or used twice, if the
    /// capacity is 0 or does not fit in memory, or if the enforced fraction is not between 0 and 1.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let error = RateLimit::per_address(Quota::per(100, Duration::ZERO)).build().unwrap_err();
    /// assert_eq!(error.setting(), "window");
    /// ```
    pub fn build(self) -> Result<RateLimit<K>, ConfigError> {
        if !(0.0..=1.0).contains(&self.enforced) {
            let remedy = "choose a fraction from 0 (shadow) to 1 (all keys)";
            return Err(ConfigError::new("enforce_sample", self.enforced, remedy));
        }
        #[cfg(feature = "store")]
        if self.store.is_some() && self.name.is_none() {
            let remedy =
                "name the limit with name(\"…\"): limits of one name share their counts in a store";
            return Err(ConfigError::new("name", "nothing", remedy));
        }
        let name = self.name.unwrap_or_else(|| "default".into());
        let quotas = self.quotas.named_after(&name);
        #[cfg(feature = "store")]
        let counting = match &self.store {
            None => LocalCounting::Whole,
            Some(store) => store.fraction().map_or(LocalCounting::Nothing, LocalCounting::Fraction),
        };
        #[cfg(not(feature = "store"))]
        let counting = LocalCounting::Whole;
        let source = match self.choose {
            None => QuotaSource::Fixed(ReplaceableQuotas::new(&quotas, counting, self.keys)?),
            Some(choose) => {
                QuotaSet::check(&quotas)?;
                let given = quotas.iter().cloned().collect();
                QuotaSource::PerRequest(QuotaChooser {
                    choose,
                    tables: RequestTables::new(self.keys)?,
                    given,
                })
            }
        };
        let waiting = match self.wait {
            Some((max_wait, max_waiting)) => Some(Arc::new(Waiting::new(max_wait, max_waiting)?)),
            None => None,
        };
        let blocks = Blocks::new(self.ban, self.keys)?;
        let settings = Settings {
            name: Arc::from(name),
            clock: self.clock,
            cost: self.cost,
            skip: self.skip,
            counts: self.counts,
            missing_key: self.missing_key,
            headers: if self.enforced > 0.0 { self.headers } else { QuotaHeaders::None },
            // The cast saturates at both ends.
            enforced: (self.enforced * 2_f64.powi(64)) as u64,
            settles: self.settles,
            has_status: self.has_status,
            cost_trailer: self.cost_trailer,
        };
        #[cfg(feature = "store")]
        let limit = crate::shared::Limit {
            name: Arc::clone(&settings.name),
            clock: Arc::clone(&settings.clock),
            keys: self.keys,
            changes_charges: settings.changes_charges(),
        };
        #[cfg(feature = "store")]
        let store = match self.store {
            Some(store) => Some(store.build(&quotas, self.ban, &limit)?),
            None => None,
        };
        Ok(RateLimit::new(Limiter {
            key: self.key,
            quotas: source,
            settings,
            hasher: KeyHash::new(),
            blocks,
            waiting,
            stats: Default::default(),
            missing_key_logged: AtomicBool::new(false),
            invalid_quota_logged: AtomicBool::new(false),
            floor_logged: Default::default(),
            #[cfg(feature = "store")]
            store,
        }))
    }
}

impl<K> fmt::Debug for RateLimitBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitBuilder")
            .field("name", &self.name)
            .field("quotas", &self.quotas)
            .field("capacity", &self.keys)
            .finish_non_exhaustive()
    }
}
