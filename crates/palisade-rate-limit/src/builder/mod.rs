mod counting;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use http::HeaderName;
use palisade_core::{Clock, ConfigError, SystemClock};

use crate::{
    Key, QuotaHeaders, Quotas, RateLimit,
    blocks::{Ban, Blocks},
    counters::Tables,
    key::hash::KeyHash,
    limiter::{Choose, CostOf, Counts, Matches, Settings, Shared},
    plan::{Counted, Current, PerKey, Plan, Same},
    waiting::Waiting,
};

/// Makes a [`RateLimit`]. See [`RateLimit::per_address`], [`RateLimit::per_principal`] and [`RateLimit::per_key`].
///
/// ```
/// use std::time::Duration;
/// use palisade_rate_limit::{Quota, RateLimit};
///
/// let limit = RateLimit::per_principal(Quota::per(1000, Duration::from_secs(3600)))
///     .name("per-user")
///     .capacity(20_000)
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
    /// Of all keys, the fraction that is refused what it is over.
    enforced: f64,
    #[cfg(feature = "store")]
    store: Option<crate::SharedStore>,
}

/// What becomes of a request on which a limit finds nothing to count by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// It is refused, with the error that the key gives: 500 where the stack is put together wrongly.
    #[default]
    Refuse,
    /// It passes and is not counted: only where another limit counts it.
    Skip,
    /// It is counted together with all others that have no key.
    Share,
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

    /// Sets for how many keys the tables have room: those that are active within two windows. Default: 100,000. The memory
    /// is taken when the limit is built and never grows.
    ///
    /// | quota | bytes a key |
    /// | --- | --- |
    /// | sliding or fixed window, limit at most 65,534, window at least 0.1 s | 32 |
    /// | other sliding and fixed windows | 48 |
    /// | `gcra` | 37 |
    /// | `strict` | 91 |
    /// | `exact_log` | 27, and 11 for each request of its limit; at most 256 MiB in all |
    ///
    /// With more active keys than this, those with the most requests keep their counts, and what the others had used is
    /// remembered in a sketch, so that no flood resets a limit. Of the first requests of new keys, fewer than 1 % are
    /// rejected until a flood has sent ten times limit × capacity requests (limits up to 511), nine times (up to 1,023), eight
    /// times (up to 4,095) or six times (above). When that begins, a warning is logged and the metric `palisade_limit_floor_reached_total` counts the requests.
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

    /// Takes the time from `clock`: [`monotonic`](Clock::monotonic), and [`unix`](Clock::unix) for
    /// [`QuotaHeaders::XRateLimitEpoch`] only.
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

    /// Names the limit in the log and in a shared store, and its quota to clients if that has no
    /// [name](crate::Quota::named) of its own. Default `default`; a limit that is shared has to be given one, because limits
    /// of the same name share their counts.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_address(Quota::per(20, Duration::from_secs(1))).name("per-client");
    /// ```
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Blocks keys that go on after many rejections. A request of a blocked key is rejected with 429 and a `Retry-After` of
    /// the rest of the block; it is neither counted nor does it lengthen the block.
    ///
    /// With a shared store that [can ban](crate::Store::can_ban), as the one in Redis, rejections of all machines count
    /// together, and the key is blocked on all of them. The store is then asked about each request of a key that is over
    /// its limit, until the key is blocked.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Ban, Quota, RateLimit};
    /// let minute = Duration::from_secs(60);
    /// let limit = RateLimit::per_address(Quota::per(100, minute)).ban(Ban::after(50, minute));
    /// ```
    pub fn ban(mut self, ban: Ban) -> Self {
        self.ban = Some(ban);
        self
    }

    /// Lets requests wait in place of rejecting them, as tower's `RateLimit` does: at most `max_wait` each, and at most
    /// `max_waiting` of all keys at the same time. Default: no request waits.
    ///
    /// A request that would be admitted within `max_wait` waits for it, and its body is not read meanwhile. The requests of
    /// one key are admitted in the order in which they came. A request that leaves gives its place to the next one. All
    /// others are rejected as without this setting: those that would have to wait for longer, that find too many waiting
    /// already, or whose turn does not come in time. Waiting needs a tokio runtime; without one, no request waits.
    ///
    /// Each waiting request keeps its connection or stream, so clients can hold as many. With a shared store, the limit
    /// asks the store again when the wait is over.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// // An even flow of ten a second: requests of a burst wait for up to two seconds.
    /// let limit = RateLimit::per_address(Quota::per(10, Duration::from_secs(1)).gcra_with_burst(1))
    ///     .wait(Duration::from_secs(2), 1000)
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn wait(mut self, max_wait: Duration, max_waiting: usize) -> Self {
        self.wait = Some((max_wait, max_waiting));
        self
    }

    /// Refuses nobody: a request over a quota passes, and a line of the log says which quota it was over, at level INFO
    /// with the target `palisade::shadow`. It is not charged, so the log says what [enforcing](Self::enforce) the limit
    /// would do. Responses say nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let trial = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).shadow();
    /// ```
    pub fn shadow(self) -> Self {
        self.enforce_sample(0.0)
    }

    /// Refuses everybody who is over a quota, which is the default.
    pub fn enforce(self) -> Self {
        self.enforce_sample(1.0)
    }

    /// Refuses this fraction of the keys what they are over, from 0 to 1, and treats the others as
    /// [`shadow`](Self::shadow) does. A key is always in or always out, as long as the process lives.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// // one client in twenty
    /// let careful = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).enforce_sample(0.05);
    /// ```
    pub fn enforce_sample(mut self, fraction: f64) -> Self {
        self.enforced = fraction;
        self
    }

    /// Leaves no [`RateLimitStatus`](crate::RateLimitStatus) on requests, which saves an allocation for each. For limits
    /// whose handlers do not read what is left.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).without_status();
    /// ```
    pub fn without_status(mut self) -> Self {
        self.has_status = false;
        self
    }

    /// Says what becomes of a request without a key. Default [`MissingKey::Refuse`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// use palisade_rate_limit::MissingKey;
    ///
    /// // those who have not logged in share one quota
    /// let limit = RateLimit::per_principal(Quota::per(100, Duration::from_secs(60))).missing_key(MissingKey::Share);
    /// ```
    pub fn missing_key(mut self, missing: MissingKey) -> Self {
        self.missing_key = missing;
        self
    }

    /// Says which fields tell clients where they stand. Default [`QuotaHeaders::Draft10`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// use palisade_rate_limit::QuotaHeaders;
    ///
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).headers(QuotaHeaders::XRateLimit);
    /// ```
    pub fn headers(mut self, headers: QuotaHeaders) -> Self {
        self.headers = headers;
        self
    }

    /// Counts in a store that other machines share. All of them must give the limit the same name, key and quotas.
    ///
    /// The limit asks the store once for each request, for all of its quotas, and needs a tokio runtime. See
    /// [`SharedStore`](crate::SharedStore) for what it does when the store does not answer.
    #[cfg(feature = "store")]
    pub fn store(mut self, store: crate::SharedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Builds the limit and takes the memory of its tables.
    ///
    /// # Errors
    ///
    /// If a quota cannot be counted (a window without length or of more than 146 years, an exact log of more than 1000
    /// requests or 256 MiB, a rate of more than one a nanosecond), there are none or more than four of them, two have the same
    /// name or one a name that is not valid, the capacity is 0 or does not fit in memory, or the fraction that is
    /// enforced is none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let error = RateLimit::per_address(Quota::per(100, Duration::ZERO)).build().unwrap_err();
    /// assert_eq!(error.setting(), "window");
    /// ```
    pub fn build(self) -> Result<RateLimit<K>, ConfigError> {
        if !(0.0..=1.0).contains(&self.enforced) {
            let remedy = "choose a fraction from 0 (shadow) to 1 (everybody)";
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
        let counted = match &self.store {
            None => Counted::Whole,
            Some(store) => store.fraction().map_or(Counted::Nothing, Counted::Fraction),
        };
        #[cfg(not(feature = "store"))]
        let counted = Counted::Whole;
        let plan = match self.choose {
            None => Plan::Same(Current::new(&quotas, counted, self.keys)?),
            Some(choose) => {
                Same::check(&quotas)?;
                let given = quotas.iter().cloned().collect();
                Plan::PerKey(PerKey { choose, tables: Tables::new(self.keys)?, given })
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
            // saturates at either end
            enforced: (self.enforced * 2_f64.powi(64)) as u64,
            settles: self.settles,
            has_status: self.has_status,
            cost_trailer: self.cost_trailer,
        };
        #[cfg(feature = "store")]
        let store = match self.store {
            Some(store) => Some(store.build(&quotas, self.keys, self.ban, &settings)?),
            None => None,
        };
        Ok(RateLimit::new(Shared {
            key: self.key,
            plan,
            settings,
            hasher: KeyHash::new(),
            blocks,
            waiting,
            stats: Default::default(),
            has_said_what_is_missing: AtomicBool::new(false),
            has_said_what_is_wrong: AtomicBool::new(false),
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
