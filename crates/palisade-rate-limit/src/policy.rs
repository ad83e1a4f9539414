use std::{
    error::Error,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{request, response};
use palisade_core::{
    ApiError, Clock, ConfigError, Decision, Issue, IssueCode, Outcome, Policy, PolicyLayer,
    Principal, QuotaViolation, hold_until_end, watch_until_end,
};

#[cfg(feature = "store")]
use crate::shared;
use crate::{
    Admission, Algorithm, ByAddress, ByPrincipal, Key, MissingKey, Quota, QuotaHeaders, Quotas,
    RateLimitBuilder, Standing,
    admission::{Charge, Slot},
    algorithm::AnyMeter,
    counters::{self, Charged, Counter, Each, Refused, Tables},
    headers::Fields,
    table::Table,
    trailers::{self, AtTheEnd},
};

pub(crate) const COST_EXCEEDS_LIMIT: IssueCode =
    IssueCode::new("cost_exceeds_limit", "The request costs more than its limit ever allows.", &[]);

/// A limit on how often a client may call, as a policy. Clones count together: a limit that a request meets twice, on a
/// router and again on a route, counts it twice.
///
/// A request over a quota is refused with 429, `Retry-After` and no look at its body; over gRPC with
/// `RESOURCE_EXHAUSTED`. It is charged to no quota. Every response, admitted or refused, says where the client stands in
/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), or as
/// [`headers`](RateLimitBuilder::headers) says. Several limits on one request add a field each, so give each a
/// [name](RateLimitBuilder::name).
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

pub(crate) struct Shared<K> {
    pub(crate) key: K,
    pub(crate) plan: Plan,
    pub(crate) settings: Settings,
    /// Keys are chosen by clients, and two with the same hash share a quota: SipHash with a random seed, so that nobody
    /// can look for a name that uses up somebody else's.
    pub(crate) hasher: RandomState,
    /// Slots of concurrency quotas that are taken, of all keys.
    pub(crate) slots_taken: Arc<AtomicU64>,
    pub(crate) has_said_what_is_missing: AtomicBool,
    pub(crate) has_said_what_is_wrong: AtomicBool,
    /// The requests that were rejected because of evicted keys when that was last logged, and when that was.
    pub(crate) floor_logged: Mutex<FloorLogged>,
    #[cfg(feature = "store")]
    pub(crate) store: Option<Arc<shared::StoreClient>>,
}

/// See [`Shared::log_floor`].
#[derive(Default)]
pub(crate) struct FloorLogged {
    rejected: u64,
    again_at: u64,
}

/// A flood is logged again after this many nanoseconds.
const FLOOR_LOG_PAUSE: u64 = 60_000_000_000;

/// What is the same for all keys.
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cost: Option<Box<CostOf>>,
    pub(crate) skip: Option<Box<Matches>>,
    pub(crate) counts: Option<Box<Counts>>,
    pub(crate) missing_key: MissingKey,
    pub(crate) headers: QuotaHeaders,
    /// Of 2^64 hashes, those below are refused what they are over; the others pass.
    pub(crate) enforced: u64,
}

pub(crate) type CostOf = dyn Fn(&request::Parts) -> u32 + Send + Sync;
pub(crate) type Matches = dyn Fn(&request::Parts) -> bool + Send + Sync;
pub(crate) type Counts = dyn Fn(&response::Parts) -> bool + Send + Sync;
pub(crate) type Choose = dyn Fn(Option<&Principal>, &request::Parts) -> Quotas + Send + Sync;

/// Which quotas a request has, and where they are counted.
pub(crate) enum Plan {
    Same(Same),
    PerKey { choose: Box<Choose>, tables: Tables },
}

pub(crate) struct Same {
    pub(crate) quotas: Arc<[Quota]>,
    /// Of the quotas, or of what counts here when a shared store fails.
    pub(crate) counters: Box<[Counter]>,
    pub(crate) fields: Box<[Fields]>,
}

impl Same {
    /// # Errors
    ///
    /// If a quota cannot be counted, or has a name that cannot be told.
    pub(crate) fn check(quotas: &Quotas) -> Result<(), ConfigError> {
        quotas.check()?;
        quotas.iter().try_for_each(|quota| AnyMeter::of(quota).and(Fields::new(quota)).map(drop))
    }

    /// # Errors
    ///
    /// If a quota cannot be counted, or has a name that cannot be told.
    pub(crate) fn new(
        quotas: &Quotas,
        counted: impl Fn(&Quota) -> Option<Quota>,
        keys: usize,
    ) -> Result<Self, ConfigError> {
        Self::check(quotas)?;
        let counters = quotas.iter().filter_map(counted).map(|quota| Counter::of(&quota, keys));
        Ok(Self {
            counters: counters.collect::<Result<_, _>>()?,
            fields: quotas.iter().map(Fields::new).collect::<Result<_, _>>()?,
            quotas: quotas.iter().cloned().collect(),
        })
    }
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
    pub fn per_address(quotas: impl Into<Quotas>) -> RateLimitBuilder<ByAddress> {
        RateLimit::per_key(ByAddress::default(), quotas)
    }
}

impl RateLimit<ByPrincipal> {
    /// A limit for each caller, by issuer and subject. It belongs inside authentication, which leaves the
    /// [`Principal`]; where there is none, the request is refused with 500.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_principal(Quota::per(1000, Duration::from_secs(60))).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn per_principal(quotas: impl Into<Quotas>) -> RateLimitBuilder<ByPrincipal> {
        RateLimit::per_key(ByPrincipal, quotas)
    }
}

impl<K: Key> RateLimit<K> {
    /// A limit that counts by another [`Key`], or by several in a tuple.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_rate_limit::{ByAddress, ByMethod, Quota, RateLimit, by};
    ///
    /// // each client, and what it reads apart from what it writes
    /// let quota = Quota::per(100, Duration::from_secs(60));
    /// let limit = RateLimit::per_key((ByAddress::default(), ByMethod), quota).build()?;
    ///
    /// // all clients together
    /// let everybody = by(|_: &http::request::Parts| Some(()));
    /// let limit = RateLimit::per_key(everybody, Quota::per(5000, Duration::from_secs(1))).capacity(1).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn per_key(key: K, quotas: impl Into<Quotas>) -> RateLimitBuilder<K> {
        RateLimitBuilder::new(key, quotas.into())
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
    pub(crate) fn of(shared: Shared<K>) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// The quotas of each key; none where they are [chosen for each request](RateLimitBuilder::quota).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let quota = Quota::per(100, Duration::from_secs(60)).named("per-client");
    /// assert_eq!(RateLimit::per_address(quota.clone()).build().unwrap().quotas(), [quota]);
    /// ```
    pub fn quotas(&self) -> &[Quota] {
        match &self.shared.plan {
            Plan::Same(same) => &same.quotas,
            Plan::PerKey { .. } => &[],
        }
    }

    /// What the limit has asked of its store; nothing if it has none.
    #[cfg(feature = "store")]
    pub fn store_stats(&self) -> Option<crate::StoreStats> {
        self.shared.store.as_ref().map(|store| store.stats())
    }

    /// What the tables of keys occupy, in bytes. It is the same before the first request and after the last, except
    /// where quotas are [chosen for each request](RateLimitBuilder::quota): each of their windows has a table of its own.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build().unwrap();
    /// assert!(limit.table_bytes() < 1_700_000, "100,000 keys");
    /// ```
    pub fn table_bytes(&self) -> usize {
        self.tables().iter().map(|table| table.bytes()).sum()
    }

    pub(crate) fn floor_reached(&self) -> u64 {
        self.tables().iter().map(|table| table.floor_reached()).sum()
    }

    pub(crate) fn tables(&self) -> Vec<&Table> {
        match &self.shared.plan {
            Plan::Same(same) => same.counters.iter().map(|counter| &*counter.table).collect(),
            Plan::PerKey { tables, .. } => tables.made().collect(),
        }
    }

    /// How many slots of concurrency quotas are taken; nothing if there are no such quotas.
    pub(crate) fn slots_taken(&self) -> Option<u64> {
        let slots = |quota: &Quota| quota.algorithm() == Algorithm::Concurrency;
        let known = self.quotas().is_empty() || self.quotas().iter().any(slots);
        known.then(|| self.shared.slots_taken.load(Ordering::Relaxed))
    }
}

impl<K: Key> Policy for RateLimit<K> {
    type Grant = Admission;

    /// Checks the key's counts and charges them, in one step.
    fn decide(&self, request: &request::Parts) -> Decision<Admission> {
        let limit = &*self.shared;
        let settings = &limit.settings;
        if settings.skip.as_ref().is_some_and(|skip| skip(request)) {
            return Decision::grant(Admission::uncounted());
        }
        let cost = settings.cost.as_ref().map_or(1, |cost| cost(request));
        let key = match limit.key.key(request) {
            Ok(key) => Some(key),
            Err(error) => match settings.missing_key {
                MissingKey::Refuse => return limit.refuse_with(None, limit.without_key(error)),
                MissingKey::Skip => return Decision::grant(Admission::uncounted()),
                MissingKey::Share => None,
            },
        };
        // An Option is hashed with what it is: nobody has the key of those who have none.
        let hash = limit.hasher.hash_one(&key);
        match &limit.plan {
            Plan::Same(same) => {
                #[cfg(feature = "store")]
                if let Some(store) = &limit.store {
                    let quotas = &same.quotas;
                    return shared::decide(&self.shared, store, &key, hash, cost, quotas, None);
                }
                let charged = counters::charge(same.counters.iter(), hash, limit.now(), cost);
                match charged {
                    Ok(charged) => {
                        Decision::grant(limit.admit(&charged, &same.counters, hash, cost))
                    }
                    Err(refused) => limit.refuse(hash, cost, &same.quotas, &same.fields, &refused),
                }
            }
            Plan::PerKey { choose, tables } => {
                let principal = request.extensions.get();
                let quotas = choose(principal, request).named_after(&settings.name);
                self.decide_for(&key, hash, cost, &quotas, tables)
            }
        }
    }

    fn finish(&self, mut admission: Admission, response: &mut response::Parts) {
        let limit = &*self.shared;
        let settings = &limit.settings;
        let rest = admission.rest();
        let fields = match (rest.and_then(|rest| rest.fields.as_ref()), &limit.plan) {
            (Some(fields), _) => &**fields,
            (None, Plan::Same(same)) => &same.fields,
            (None, Plan::PerKey { .. }) => &[],
        };
        let standings = admission.standings().iter().copied();
        let unix = || settings.clock.unix();
        settings.headers.write(fields.iter().zip(standings), &mut response.headers, unix);
        if let Some(charge) = admission.take_charge() {
            if trailers::will_say(response) {
                let limit = Arc::clone(&self.shared);
                watch_until_end(response, AtTheEnd::of(limit, charge, response));
            } else {
                limit.settle(&charge, response);
            }
        }
        for slot in admission.slots() {
            hold_until_end(response, slot);
        }
    }

    fn would_have_said<'a>(&self, admission: &'a Admission) -> Option<Outcome<'a>> {
        admission.would_have_been()
    }
}

impl<K: Key> RateLimit<K> {
    /// Decides by quotas that were chosen for this request.
    fn decide_for(
        &self,
        key: &Option<K::Of<'_>>,
        hash: u64,
        cost: u32,
        quotas: &Quotas,
        tables: &Tables,
    ) -> Decision<Admission> {
        let limit = &*self.shared;
        let chosen = quotas.check().and_then(|()| {
            let fields = quotas.iter().map(Fields::new).collect::<Result<Box<[_]>, _>>()?;
            Ok((quotas.iter().cloned().collect::<Arc<[_]>>(), fields))
        });
        let (quotas, fields) = match chosen {
            Ok(chosen) => chosen,
            Err(error) => return limit.badly_chosen(hash, error),
        };
        #[cfg(feature = "store")]
        if let Some(store) = &limit.store {
            return match store.supports(&quotas) {
                Ok(()) => {
                    shared::decide(&self.shared, store, key, hash, cost, &quotas, Some(fields))
                }
                Err(error) => limit.badly_chosen(hash, error),
            };
        }
        let _ = key;
        let counters = match tables.counters(&quotas) {
            Ok(counters) => counters,
            Err(error) => return limit.badly_chosen(hash, error),
        };
        limit.count_chosen(hash, cost, &quotas, fields, counters)
    }
}

impl<K> Shared<K> {
    /// Counts a request by quotas that were chosen for it.
    pub(crate) fn count_chosen(
        &self,
        hash: u64,
        cost: u32,
        quotas: &[Quota],
        fields: Box<[Fields]>,
        counters: Box<[Counter]>,
    ) -> Decision<Admission> {
        match counters::charge(counters.iter(), hash, self.now(), cost) {
            Ok(charged) => {
                let mut admission = self.admit(&charged, &counters, hash, cost);
                let rest = admission.rest_mut();
                if let Some(Charge::Here { counters: own, .. }) = &mut rest.charge {
                    *own = Some(counters);
                }
                rest.fields = Some(fields);
                Decision::grant(admission)
            }
            Err(refused) => self.refuse(hash, cost, quotas, &fields, &refused),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.settings.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The grant of a request that was charged.
    pub(crate) fn admit(
        &self,
        charged: &Charged,
        counters: &[Counter],
        key: u64,
        amount: u32,
    ) -> Admission {
        let mut admission = self.admission(key, charged.standings);
        if self.settings.counts.is_some() {
            let charge = Charge::Here { key, amount, at: charged.at, counters: None };
            admission.rest_mut().charge = Some(charge);
        }
        for counter in counters {
            if matches!(counter.meter, AnyMeter::Concurrency(_)) && amount > 0 {
                let slot = Slot::new(counter, key, amount, &self.slots_taken);
                admission.rest_mut().slots.push(slot);
            }
        }
        admission
    }

    /// A grant that tells the response where the key stands, unless the key is only watched.
    pub(crate) fn admission(&self, hash: u64, standings: Each<Standing>) -> Admission {
        if self.is_enforced(Some(hash)) {
            Admission::standing_at(standings)
        } else {
            Admission::watched()
        }
    }

    /// Whether a key is refused what it is over. Who has none is, unless nobody is.
    fn is_enforced(&self, hash: Option<u64>) -> bool {
        let enforced = self.settings.enforced;
        enforced == u64::MAX || hash.map_or(enforced > 0, |hash| hash < enforced)
    }

    /// Refuses a request, unless its key is only watched.
    pub(crate) fn refuse_with(&self, hash: Option<u64>, error: ApiError) -> Decision<Admission> {
        if self.is_enforced(hash) {
            return Decision::refuse(error);
        }
        let code = error.code();
        tracing::info!(
            target: "palisade::shadow",
            limit = &*self.settings.name,
            code,
            "would not have passed"
        );
        Decision::grant(Admission::instead_of(error))
    }

    /// Gives back what a request was charged whose response does not count.
    pub(crate) fn settle(&self, charge: &Charge, response: &response::Parts) {
        if self.settings.counts.as_ref().is_some_and(|counts| !counts(response)) {
            self.give_back(charge);
        }
    }

    fn give_back(&self, charge: &Charge) {
        match (charge, &self.plan) {
            (Charge::Here { key, amount, at, counters: Some(counters) }, _) => {
                self.give_back_here(counters, *key, *amount, at);
            }
            (Charge::Here { key, amount, at, counters: None }, Plan::Same(same)) => {
                self.give_back_here(&same.counters, *key, *amount, at);
            }
            #[cfg(feature = "store")]
            (Charge::Shared(receipt), _) => receipt.give_back(),
            (Charge::Here { counters: None, .. }, Plan::PerKey { .. }) => {}
        }
    }

    fn give_back_here(&self, counters: &[Counter], key: u64, amount: u32, at: &Each<u64>) {
        let now = self.now();
        // Slots come back when the response is over, whatever it was.
        let timed = counters
            .iter()
            .zip(at.as_slice())
            .filter(|(counter, _)| !matches!(counter.meter, AnyMeter::Concurrency(_)));
        for (counter, at) in timed {
            counter.table.refund(&counter.meter, key, now, *at, amount);
        }
    }

    /// Logs when keys begin to be rejected because of what evicted keys had used, and at most once a minute.
    fn log_floor(&self) {
        let rejected: u64 = match &self.plan {
            Plan::Same(same) => same.counters.iter().map(|one| one.table.floor_reached()).sum(),
            Plan::PerKey { tables, .. } => tables.made().map(Table::floor_reached).sum(),
        };
        if rejected == 0 {
            return;
        }
        // Another thread that holds the lock logs it.
        let Ok(mut logged) = self.floor_logged.try_lock() else { return };
        let now = self.now();
        if rejected > logged.rejected && now >= logged.again_at {
            *logged = FloorLogged { rejected, again_at: now.saturating_add(FLOOR_LOG_PAUSE) };
            tracing::warn!(
                limit = &*self.settings.name,
                rejected,
                "more keys are active than the table of a rate limit has room for, and new ones are rejected because of \
                 what evicted keys had used: give the limit a larger capacity, or reject the flood before it"
            );
        }
    }

    /// The refusal of a request, or, for a key that is not enforced, a line in the log.
    #[cold]
    pub(crate) fn refuse(
        &self,
        hash: u64,
        cost: u32,
        quotas: &[Quota],
        fields: &[Fields],
        refused: &Refused,
    ) -> Decision<Admission> {
        self.log_floor();
        if !self.is_enforced(Some(hash)) {
            let over = quotas.iter().zip(refused.waits.as_slice());
            let over = over.filter(|(_, wait)| **wait != Some(0)).map(|(quota, _)| quota.name());
            let over = over.collect::<Vec<_>>().join(", ");
            tracing::info!(
                target: "palisade::shadow",
                limit = &*self.settings.name,
                over,
                "would not have passed"
            );
            return Decision::grant(Admission::instead_of(ApiError::rate_limited()));
        }
        Decision::refuse(self.refusal(cost, quotas, fields, refused))
    }

    #[cold]
    fn refusal(
        &self,
        cost: u32,
        quotas: &[Quota],
        fields: &[Fields],
        refused: &Refused,
    ) -> ApiError {
        let mut error = ApiError::rate_limited();
        let (standings, waits) = (refused.standings.as_slice(), refused.waits.as_slice());
        let mut longest = Some(0);
        let mut never_fits = false;
        for (quota, wait) in quotas.iter().zip(waits) {
            if *wait == Some(0) {
                continue;
            }
            longest = longest.zip(*wait).map(|(longest, wait)| wait.max(longest));
            let timed = quota.algorithm() != Algorithm::Concurrency;
            never_fits |= wait.is_none() && (timed || cost > quota.limit());
            let name = quota.name().to_owned();
            error = error.with_quota_violation(QuotaViolation::new(name, quota.limit().into()));
        }
        if never_fits && cost > 1 {
            error =
                error.with_message("the request costs more than the limit allows").with_issues([
                    Issue::new("", COST_EXCEEDS_LIMIT.code, "it cannot be admitted by waiting"),
                ]);
        }
        let mut headers = http::HeaderMap::new();
        let unix = || self.settings.clock.unix();
        let standings = standings.iter().copied();
        self.settings.headers.write(fields.iter().zip(standings), &mut headers, unix);
        for (name, value) in &headers {
            error = error.with_header(name.clone(), value.clone());
        }
        match longest {
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
                limit = &*self.settings.name,
                "a rate limit refuses every request with 500: {fix}"
            );
        }
        error
    }

    /// A limit that cannot count by the quota that was chosen refuses.
    #[cold]
    pub(crate) fn badly_chosen(&self, hash: u64, error: ConfigError) -> Decision<Admission> {
        if !self.has_said_what_is_wrong.swap(true, Ordering::Relaxed) {
            tracing::error!(
                limit = &*self.settings.name,
                "a quota that was chosen for a request cannot be counted, which is refused with 500: {error}"
            );
        }
        self.refuse_with(Some(hash), ApiError::internal().with_source(error))
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
            .field("name", &self.shared.settings.name)
            .field("quotas", &self.quotas())
            .finish_non_exhaustive()
    }
}
