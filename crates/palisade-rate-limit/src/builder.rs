use std::{
    fmt,
    hash::RandomState,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use http::{HeaderName, request, response};
use palisade_core::{Clock, ConfigError, Principal, SystemClock};

use crate::{
    Key, QuotaHeaders, Quotas, RateLimit,
    blocks::{Ban, Blocks},
    counters::Tables,
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
    /// rejected until a flood has sent ten times limit and capacity (up to a limit of 511, and six times above). When that
    /// begins, a warning is logged and the metric `palisade_limit_floor_reached_total` counts the requests.
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

    /// How much a request costs. 1 without this. A request that costs 0 looks and is not charged; one that costs more
    /// than a limit never passes it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60)))
    ///     .cost(|head| if head.uri.path().starts_with("/export") { 20 } else { 1 });
    /// ```
    pub fn cost(mut self, of: impl Fn(&request::Parts) -> u32 + Send + Sync + 'static) -> Self {
        self.cost = Some(Box::new(of));
        self
    }

    /// Lets these requests pass, not counted and without a word in the response.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60)))
    ///     .skip(|head| head.uri.path() == "/healthz");
    /// ```
    pub fn skip(mut self, skip: impl Fn(&request::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.skip = Some(Box::new(skip));
        self
    }

    /// Chooses the quotas of each request: tiers, or what a customer has paid for.
    ///
    /// The closure gets the [`Principal`], if authentication has left one, and the head of the request. What it answers is
    /// all that applies: not the quotas that the limit was made with.
    ///
    /// Quotas of the same algorithm and window share a table, whatever their names, so a limit may be any number, and a key
    /// whose limit is raised keeps its count: an exact log as long as its limit stays below the same power of two, and
    /// [`gcra`](crate::Quota::gcra) its backlog as a time. At most eight different algorithms and windows; each has a table
    /// of the whole [capacity](Self::capacity), which the first request that needs it makes. A table that is too small for
    /// the keys of all tiers gives newcomers what the least active key had used, which may be a small tier's whole quota.
    ///
    /// A quota that cannot be counted refuses its requests with 500, and one line of the log says why. Choosing costs a few
    /// allocations for each request.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use palisade_rate_limit::{Quota, RateLimit};
    ///
    /// let free = Quota::per(60, Duration::from_secs(60)).named("free");
    /// let limit = RateLimit::per_principal(free.clone())
    ///     .quota(move |principal, _| match principal {
    ///         Some(principal) if principal.has_role("pro") => {
    ///             Quota::per(6000, Duration::from_secs(60)).named("pro")
    ///         }
    ///         _ => free.clone(),
    ///     })
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn quota<F, Q>(mut self, choose: F) -> Self
    where
        F: Fn(Option<&Principal>, &request::Parts) -> Q + Send + Sync + 'static,
        Q: Into<Quotas>,
    {
        self.choose = Some(Box::new(move |principal, head| choose(principal, head).into()));
        self
    }

    /// Counts a request only if its response is one that counts.
    ///
    /// A request is charged when it comes, so that many at once do not pass together, and given back what it was charged
    /// when its response does not count. Without a response, because the client has gone or the handler has failed, it
    /// stays charged.
    ///
    /// Over gRPC a call may end well or badly after its first message. The closure is then asked when it is over, and
    /// finds the trailers among the headers. A call whose trailers never come, because it breaks off or its client leaves,
    /// stays charged.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let lookups = RateLimit::per_address(Quota::per(20, Duration::from_secs(60)))
    ///     .count_if(|response| response.status == 404);
    /// ```
    pub fn count_if(
        mut self,
        counts: impl Fn(&response::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.counts = Some(Box::new(counts));
        self
    }

    /// Counts a request only if it fails, as [`count_if`](Self::count_if) does: a status of 400 or more, or over gRPC
    /// and gRPC-web a status other than `OK`, whenever that comes. For logins: whoever knows the password is not counted,
    /// and whoever guesses is.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let login = Quota::per(5, Duration::from_secs(15 * 60)).exact_log();
    /// let limit = RateLimit::per_address(login).only_failures();
    /// ```
    pub fn only_failures(self) -> Self {
        self.count_if(|response| {
            let grpc = response.headers.get("grpc-status");
            response.status.as_u16() >= 400 || grpc.is_some_and(|code| code != "0")
        })
    }

    /// Settles costs: [`cost`](Self::cost) is reserved when a request comes, and when it is over, it is charged what it
    /// really cost. For tokens of a language model, bytes, rows.
    ///
    /// The cost is an [`ActualCost`](crate::ActualCost). The limit leaves one in the extensions of the request, which a handler can clone and
    /// count up while it streams; a handler can also put one into the extensions of its response, which then counts
    /// instead; or the response says it in a [trailer](Self::settled_by_trailer). One on the response is
    /// read when the response comes; each is read when the body has ended, failed or been dropped because the client left. The last value counts, once: less
    /// than was reserved is given back, more is charged as far as there is room. A cost that is never told leaves the
    /// request charged what was reserved, also if the client leaves before there is a response.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_rate_limit::{ActualCost, Quota, RateLimit};
    ///
    /// // 100,000 tokens an hour; a request reserves 2000
    /// let tokens = RateLimit::per_principal(Quota::per(100_000, Duration::from_secs(3600)))
    ///     .cost(|_| 2000)
    ///     .settled()
    ///     .build()?;
    ///
    /// async fn handler() -> http::Response<String> {
    ///     let mut response = http::Response::new("…".to_owned());
    ///     response.extensions_mut().insert(ActualCost::new(137));
    ///     response
    /// }
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn settled(mut self) -> Self {
        self.settles = true;
        self
    }

    /// [Settles](Self::settled) costs by a trailer of the response with a decimal number, also one of gRPC or gRPC-web.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// use http::HeaderName;
    ///
    /// let rows = RateLimit::per_principal(Quota::per(1_000_000, Duration::from_secs(3600)))
    ///     .cost(|_| 1000)
    ///     .settled_by_trailer(HeaderName::from_static("x-rows"));
    /// ```
    pub fn settled_by_trailer(mut self, name: HeaderName) -> Self {
        self.settles = true;
        self.cost_trailer = Some(name);
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
            hasher: RandomState::new(),
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
