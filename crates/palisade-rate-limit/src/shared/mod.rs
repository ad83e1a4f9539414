//! A limit that machines share: how it asks its store, and what it does when that does not answer.

mod breaker;
mod digest;
mod front;

use std::{
    fmt,
    future::poll_fn,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use palisade_core::{ApiError, BoxError, BoxFuture, Clock, ConfigError, Decision, Halt, Secret};
use tokio::runtime::Handle;

use self::{
    breaker::Breaker,
    digest::Key as DigestKey,
    front::{Front, Known},
};
use crate::{
    Action, Admission, Algorithm, Demand, Fit, Intervention, Key, Quota, Quotas, Reading, Refund,
    Standing, Store, Verdict,
    admission::Charge,
    counters::{self, Each, Refused},
    headers::Fields,
    policy::{Plan, Settings, Shared as Limit},
};

/// A [`Store`], and how one limit uses it.
///
/// ```no_run
/// # use std::time::Duration;
/// # use palisade_rate_limit::{Quota, RateLimit, SharedStore, Store};
/// # fn example(redis: impl Store) -> Result<(), palisade_core::ConfigError> {
/// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60)))
///     .name("api")
///     .store(SharedStore::new(redis).fallback_local(0.25))
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// | if the store fails | a request is |
/// | --- | --- |
/// | [`fail_closed`](Self::fail_closed), the default | refused with 503 |
/// | [`fail_open`](Self::fail_open) | admitted, and counted nowhere |
/// | [`fallback_local`](Self::fallback_local) | counted here, against a fraction of each limit |
///
/// A store that does not answer within its [time-out](Self::timeout) has failed. After five failures in a row it is not
/// asked for a second, and then by one request at a time until it answers; see [`breaker`](Self::breaker). Each failure
/// is a line of the log at level WARN, and counted in [`StoreStats`].
///
/// A key that the store has refused is refused here, without asking, until the wait that the store has said is over, and
/// not longer; not where requests may be [given back](crate::RateLimitBuilder::count_if), because then it may be admitted
/// sooner.
///
/// The store gets no keys but digests of them, HMAC-SHA-256 under a [`secret`](Self::secret), 16 bytes each. All machines
/// that share a limit must agree on its name, its key, its quotas and the secret, and be built by the same compiler, which
/// has a say in what is hashed.
///
/// The store is asked in a task of its own, which goes on when the request does not: a client that hangs up, or a time-out,
/// loses no permits that were [leased](Self::leased) for others.
#[derive(Clone)]
#[must_use = "give it to `RateLimitBuilder::store`"]
pub struct SharedStore {
    store: Arc<dyn Store>,
    failure: Failure,
    timeout: Duration,
    lease: u32,
    failures: u32,
    pause: Duration,
    secret: Secret,
}

/// What becomes of a request when the store fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    Closed,
    Open,
    Local(f64),
}

/// Where no secret is set, the digest of a key is the same in all deployments.
const NO_SECRET: &[u8] = b"palisade";

impl SharedStore {
    /// Uses this store, and refuses requests when it fails. The same `Arc` of a store may serve any number of limits.
    pub fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            failure: Failure::Closed,
            timeout: Duration::from_millis(50),
            lease: 0,
            failures: 5,
            pause: Duration::from_secs(1),
            secret: Secret::from(NO_SECRET),
        }
    }

    /// Refuses a request with 503 when the store fails: the limit guards something.
    pub fn fail_closed(mut self) -> Self {
        self.failure = Failure::Closed;
        self
    }

    /// Admits a request when the store fails, and counts it nowhere: the limit is a courtesy.
    pub fn fail_open(mut self) -> Self {
        self.failure = Failure::Open;
        self
    }

    /// Counts a request here when the store fails, against this fraction of each limit, rounded up: one divided by the
    /// number of machines is the limit again, for all of them together. What the store has counted before is not known
    /// here, so that a window in which it fails may hold what it has admitted and this: twice the limit at most.
    pub fn fallback_local(mut self, fraction: f64) -> Self {
        self.failure = Failure::Local(fraction);
        self
    }

    /// How long a request waits for the store. Default 50 milliseconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Takes up to `permits` at a time from the store, for one key, and spends them here without asking: the store sees
    /// a fraction of the traffic. For limits that are high and keys that come often.
    ///
    /// Permits that are not spent within the shortest window of the limit are lost. So in any window's length
    ///
    /// - all machines together admit at most what the algorithm allows and `permits` for each machine: those that were
    ///   taken before and spent within;
    /// - a key may be refused while other machines hold permits for it: at most `permits` for each of them.
    pub fn leased(mut self, permits: u32) -> Self {
        self.lease = permits;
        self
    }

    /// After how many failures in a row the store is left alone, and for how long. Default 5, and one second.
    pub fn breaker(mut self, failures: u32, pause: Duration) -> Self {
        self.failures = failures;
        self.pause = pause;
        self
    }

    /// Makes digests of keys that nobody can try out without this secret. The same on all machines. Without it whoever can
    /// read the store can find out by trying which digest is that of an IPv4 address or of a name.
    pub fn secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secret = secret.into();
        self
    }

    /// The fraction of each limit that is counted here when the store fails, if that is what is wanted.
    pub(crate) fn fraction(&self) -> Option<f64> {
        match self.failure {
            Failure::Local(fraction) => Some(fraction),
            Failure::Closed | Failure::Open => None,
        }
    }

    /// # Errors
    ///
    /// If the store cannot count one of the quotas, or a setting makes no sense.
    pub(crate) fn build(
        self,
        quotas: &Quotas,
        keys: usize,
        settings: &Settings,
    ) -> Result<Shared, ConfigError> {
        for quota in quotas.iter() {
            supports(&*self.store, quota)?;
        }
        if self.timeout.is_zero() {
            let remedy = "choose how long a request may wait for the store, such as 50 ms";
            return Err(ConfigError::new("timeout", format_args!("{:?}", self.timeout), remedy));
        }
        if let Some(fraction) = self.fraction()
            && !(fraction > 0.0 && fraction <= 1.0)
        {
            let remedy = "choose one divided by the number of machines, or fail_closed()";
            return Err(ConfigError::new("fallback_local", fraction, remedy));
        }
        if self.secret.is_empty() {
            let remedy = "choose random bytes that all machines share, or leave it out";
            return Err(ConfigError::new("secret", "nothing", remedy));
        }
        #[allow(clippy::disallowed_methods, reason = "the key of the digests is made of them")]
        let digest = DigestKey::new(self.secret.expose());
        Ok(Shared {
            store: self.store,
            limit: Arc::clone(&settings.name),
            failure: self.failure,
            timeout: self.timeout,
            lease: self.lease,
            // A refund may let a key in before its wait is over.
            remembers_refusals: settings.counts.is_none(),
            front: Front::for_keys(keys.min(MOST_REMEMBERED)),
            breaker: Breaker::new(self.failures, self.pause),
            digest,
            stats: Counts::default(),
            clock: Arc::clone(&settings.clock),
        })
    }
}

/// Keys of which something is remembered here: 192 bytes each.
const MOST_REMEMBERED: usize = 16_384;

/// Whether the store counts this quota.
fn supports(store: &dyn Store, quota: &Quota) -> Result<(), ConfigError> {
    if quota.algorithm() == Algorithm::Concurrency {
        let remedy = "requests in flight are counted within one process: use a limit of its own, without a store";
        return Err(ConfigError::new("quota", quota.name(), remedy));
    }
    store.supports(quota)
}

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStore")
            .field("store", &self.store)
            .field("failure", &self.failure)
            .field("timeout", &self.timeout)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// What a limit has asked of its store since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Decisions that the store was asked for.
    pub asked: u64,
    /// Of these, those that failed or were not answered in time.
    pub failed: u64,
    /// Of these, those that were not answered in time.
    pub timed_out: u64,
    /// How long requests have waited for the store, all together.
    pub waited: Duration,
    /// Whether the store is left alone now, because it has failed several times in a row.
    pub left_alone: bool,
    /// Requests for which the store was not asked because it had failed before.
    pub skipped: u64,
    /// Requests that were admitted on permits taken before.
    pub leased: u64,
    /// Requests that were refused because the store had refused their key before.
    pub remembered: u64,
}

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    /// In nanoseconds: over five hundred years of them.
    waited: AtomicU64,
    skipped: AtomicU64,
    leased: AtomicU64,
    remembered: AtomicU64,
}

/// The store of a limit.
pub(crate) struct Shared {
    store: Arc<dyn Store>,
    limit: Arc<str>,
    failure: Failure,
    timeout: Duration,
    lease: u32,
    remembers_refusals: bool,
    front: Front,
    breaker: Breaker,
    digest: DigestKey,
    stats: Counts,
    clock: Arc<dyn Clock>,
}

/// What can be given back.
pub(crate) struct Receipt {
    shared: Arc<Shared>,
    /// Under which the key is remembered here.
    front: u64,
    amount: u32,
    of: Spent,
}

/// Where a request was charged.
enum Spent {
    /// In the store, which needs to know this.
    InStore(Refund),
    /// Here, of the lease that ends at this time.
    OfLease { until: u64 },
}

impl Receipt {
    pub(crate) fn give_back(&self) {
        let shared = &self.shared;
        match &self.of {
            Spent::InStore(refund) => {
                let refund = Refund { amount: self.amount, ..refund.clone() };
                Arc::clone(shared).refund(refund);
            }
            Spent::OfLease { until } => {
                shared.front.restore(self.front, shared.now(), *until, self.amount, shared.lease);
            }
        }
    }
}

/// One request of one key.
struct Ask {
    quotas: Arc<[Quota]>,
    /// What the response says of quotas that were chosen for this request.
    fields: Option<Box<[Fields]>>,
    /// The key's hash, within this process.
    hash: u64,
    /// The same with the quotas, where they may differ from request to request.
    front: u64,
    key: [u8; 16],
    cost: u32,
}

impl Shared {
    pub(crate) fn stats(&self) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            asked: read(&self.stats.asked),
            failed: read(&self.stats.failed),
            timed_out: read(&self.stats.timed_out),
            waited: Duration::from_nanos(read(&self.stats.waited)),
            left_alone: self.breaker.is_open(),
            skipped: read(&self.stats.skipped),
            leased: read(&self.stats.leased),
            remembered: read(&self.stats.remembered),
        }
    }

    /// Whether the store counts quotas that were chosen for a request.
    pub(crate) fn supports(&self, quotas: &[Quota]) -> Result<(), ConfigError> {
        quotas.iter().try_for_each(|quota| supports(&*self.store, quota))
    }

    /// Resets, blocks or unblocks a key on all machines, this one included.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not answer within the time-out. It may have done it nevertheless.
    #[allow(dead_code, reason = "for the operators' methods of a limit")]
    pub(crate) fn intervene(
        self: &Arc<Self>,
        key: &impl Hash,
        action: Action,
    ) -> BoxFuture<Result<(), BoxError>> {
        let (shared, key) = (Arc::clone(self), self.digest.of(key));
        Box::pin(async move {
            let intervention = Intervention { limit: Arc::clone(&shared.limit), key, action };
            let done = shared.store.intervene(intervention);
            tokio::time::timeout(shared.timeout, done).await?
        })
    }

    /// Asks the store how a key stands, without charging it.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not answer within the time-out.
    #[allow(dead_code, reason = "for the operators' methods of a limit")]
    pub(crate) fn look(
        self: &Arc<Self>,
        key: &impl Hash,
        quotas: &Arc<[Quota]>,
    ) -> BoxFuture<Result<Verdict, BoxError>> {
        let (shared, key, quotas) = (Arc::clone(self), self.digest.of(key), Arc::clone(quotas));
        Box::pin(async move {
            let demand = Demand { limit: Arc::clone(&shared.limit), key, quotas, cost: 0, most: 0 };
            tokio::time::timeout(shared.timeout, shared.store.charge(demand)).await?
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The store's word, within the time-out. What it grants beyond the cost is kept as a lease of the key `front`, also if
    /// the answer comes too late for the request that asked. Answers with how much was kept.
    async fn charge(
        self: Arc<Self>,
        demand: Demand,
        front: u64,
        asked_at: u64,
    ) -> Result<(Verdict, u32), BoxError> {
        let timeout = self.timeout;
        let mut asked: BoxFuture<Result<(Verdict, u32), BoxError>> = Box::pin(async move {
            count(&self.stats.asked);
            let (cost, most, quotas) = (demand.cost, demand.most, Arc::clone(&demand.quotas));
            let refund = Refund {
                limit: Arc::clone(&demand.limit),
                key: demand.key,
                quotas: Arc::clone(&quotas),
                amount: 0,
                moment: 0,
                id: 0,
            };
            let verdict = self.store.charge(demand).await?;
            let within = |charged| (cost..=most).contains(&charged);
            if verdict.readings.len() != quotas.len() || !verdict.charged.is_none_or(within) {
                return Err("the store's answer does not fit the question".into());
            }
            let spare = verdict.charged.unwrap_or(0).saturating_sub(cost);
            let mut kept = 0;
            if spare > 0 {
                let until = asked_at.saturating_add(shortest_window(&quotas));
                let standings = standings(&verdict.readings);
                let excess = self.front.lease(front, asked_at, until, spare, self.lease, standings);
                kept = spare.saturating_sub(excess);
                if excess > 0 {
                    let moment = verdict.moment;
                    Arc::clone(&self).refund(Refund { amount: excess, moment, ..refund });
                }
            }
            Ok((verdict, kept))
        });
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await {
            return answer;
        }
        // A task of its own: to drop a store's future half way would lose what it learns, about permits and connections.
        tokio::time::timeout(timeout, tokio::spawn(asked)).await??
    }

    /// Gives back what was charged, in a task of its own: nobody waits for it.
    fn refund(self: Arc<Self>, refund: Refund) {
        let Ok(runtime) = Handle::try_current() else {
            tracing::warn!(limit = &*self.limit, "a refund was lost: it needs a tokio runtime");
            return;
        };
        runtime.spawn(async move {
            // Nobody waits for it, so it may take the store's own time.
            if let Err(error) = self.store.refund(refund).await {
                // What was charged stays charged, which errs towards refusing.
                count(&self.stats.failed);
                tracing::warn!(
                    limit = &*self.limit,
                    error,
                    "a refund was lost: the store has failed"
                );
            }
        });
    }

    /// The most that a request takes from the store: a lease, unless somebody else asks for one.
    fn most(&self, ask: &Ask, now: u64) -> u32 {
        let patience = now.saturating_add(nanos(self.timeout));
        // A look takes nothing.
        let leases = ask.cost > 0 && ask.cost < self.lease;
        if leases && self.front.may_lease(ask.front, now, patience) { self.lease } else { ask.cost }
    }

    fn has_failed(&self, error: &BoxError) {
        count(&self.stats.failed);
        if error.is::<tokio::time::error::Elapsed>() {
            count(&self.stats.timed_out);
        }
        let opened = self.breaker.failed(self.now());
        let error = error.as_ref();
        tracing::warn!(
            limit = &*self.limit,
            error,
            mode = ?self.failure,
            "the store of a rate limit has failed"
        );
        if opened {
            tracing::warn!(
                limit = &*self.limit,
                "the store of a rate limit is left alone for a while"
            );
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the limit says of a request by what it knows itself, or what it has to ask.
pub(crate) fn decide<K: Key>(
    limit: &Arc<Limit<K>>,
    shared: &Arc<Shared>,
    key: &Option<K::Of<'_>>,
    hash: u64,
    cost: u32,
    quotas: &Arc<[Quota]>,
    fields: Option<Box<[Fields]>>,
) -> Decision<Admission> {
    use std::hash::BuildHasher;

    let front = match fields {
        None => hash,
        Some(_) => limit.hasher.hash_one((hash, &quotas[..])),
    };
    let now = shared.now();
    match shared.front.look(front, now, cost) {
        Known::Blocked(refused) => {
            count(&shared.stats.remembered);
            let fields = limit.fields(fields.as_deref());
            return limit.refuse(hash, cost, quotas, fields, &refused);
        }
        Known::Leased { standings, until } => {
            return Decision::grant(
                limit.leased(shared, front, hash, cost, standings, until, fields),
            );
        }
        Known::Nothing => {}
    }
    let ask =
        Ask { quotas: Arc::clone(quotas), fields, hash, front, key: shared.digest.of(key), cost };
    if !shared.breaker.lets_pass(now) {
        count(&shared.stats.skipped);
        return limit.without_store(
            shared,
            ask,
            "the store has failed before, and is left alone".into(),
        );
    }
    if Handle::try_current().is_err() {
        return limit.without_store(shared, ask, "a shared limit needs a tokio runtime".into());
    }
    let (limit, shared) = (Arc::clone(limit), Arc::clone(shared));
    Decision::later(async move { limit.asked(&shared, ask, now).await })
}

impl<K: Key> Limit<K> {
    /// Asks the store.
    async fn asked(
        self: Arc<Self>,
        shared: &Arc<Shared>,
        ask: Ask,
        asked_at: u64,
    ) -> Result<Admission, Halt> {
        let demand = Demand {
            limit: Arc::clone(&shared.limit),
            key: ask.key,
            quotas: Arc::clone(&ask.quotas),
            cost: ask.cost,
            most: shared.most(&ask, asked_at),
        };
        let refund = Refund {
            limit: Arc::clone(&demand.limit),
            key: demand.key,
            quotas: Arc::clone(&demand.quotas),
            amount: ask.cost,
            moment: 0,
            id: 0,
        };
        let answer = Arc::clone(shared).charge(demand, ask.front, asked_at).await;
        let waited = shared.now().saturating_sub(asked_at);
        shared.stats.waited.fetch_add(waited, Ordering::Relaxed);
        let (verdict, kept) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                shared.has_failed(&error);
                return now(self.without_store(shared, ask, error));
            }
        };
        shared.breaker.succeeded();
        let Ask { fields, hash, front, cost, .. } = ask;
        if verdict.charged.is_none() {
            // Somebody else may have been given a lease meanwhile.
            if shared.lease > 0
                && let Known::Leased { standings, until } =
                    shared.front.look(front, shared.now(), cost)
            {
                return Ok(self.leased(shared, front, hash, cost, standings, until, fields));
            }
            let refused = refused(&verdict.readings, standings(&verdict.readings));
            if shared.remembers_refusals {
                shared.front.block(front, asked_at, cost, &refused);
            }
            let fields = self.fields(fields.as_deref());
            return now(self.refuse(hash, cost, &ask.quotas, fields, &refused));
        }
        // The first request of a lease stands as the next one will.
        let standings = standings(&verdict.readings).map(|standing| standing.with_more(kept));
        let mut admission = self.admission(hash, standings);
        let spent = Spent::InStore(Refund { moment: verdict.moment, ..refund });
        self.remember(&mut admission, shared, front, cost, spent, fields);
        Ok(admission)
    }

    /// Admits a request on permits that were taken before.
    #[allow(
        clippy::too_many_arguments,
        reason = "they are the parts of one request and of one lease"
    )]
    fn leased(
        &self,
        shared: &Arc<Shared>,
        front: u64,
        hash: u64,
        cost: u32,
        standings: Each<Standing>,
        until: u64,
        fields: Option<Box<[Fields]>>,
    ) -> Admission {
        count(&shared.stats.leased);
        let mut admission = self.admission(hash, standings);
        self.remember(&mut admission, shared, front, cost, Spent::OfLease { until }, fields);
        admission
    }

    /// Keeps in the grant what the response phase may need.
    fn remember(
        &self,
        admission: &mut Admission,
        shared: &Arc<Shared>,
        front: u64,
        amount: u32,
        of: Spent,
        fields: Option<Box<[Fields]>>,
    ) {
        if self.settings.counts.is_some() && amount > 0 {
            let receipt = Receipt { shared: Arc::clone(shared), front, amount, of };
            admission.rest_mut().charge = Some(Charge::Shared(receipt));
        }
        if fields.is_some() {
            admission.rest_mut().fields = fields;
        }
    }

    /// What becomes of a request when the store does not answer.
    #[cold]
    fn without_store(&self, shared: &Shared, ask: Ask, error: BoxError) -> Decision<Admission> {
        let fraction = match shared.failure {
            Failure::Closed => {
                let retry = shared.breaker.pause().max(Duration::from_secs(1));
                let error = ApiError::unavailable().with_retry_after(retry).with_source(error);
                return self.refuse_with(Some(ask.hash), error);
            }
            Failure::Open => {
                let nowhere = Each::none(Standing::new(0, None));
                return Decision::grant(self.admission(ask.hash, nowhere));
            }
            Failure::Local(fraction) => fraction,
        };
        let Ask { quotas, fields, hash, cost, .. } = ask;
        match &self.plan {
            Plan::Same(same) => {
                // These were made of the fraction.
                match counters::charge(same.counters.iter(), hash, self.now(), cost) {
                    Ok(charged) => {
                        Decision::grant(self.admit(&charged, &same.counters, hash, cost))
                    }
                    Err(refused) => self.refuse(hash, cost, &quotas, &same.fields, &refused),
                }
            }
            Plan::PerKey { tables, .. } => {
                let parts = quotas.iter().map(|quota| quota.fraction(fraction));
                match tables.counters(&parts.collect::<Vec<_>>()) {
                    Ok(counters) => {
                        let fields = fields.unwrap_or_default();
                        self.count_chosen(hash, cost, &quotas, fields, counters)
                    }
                    Err(error) => self.badly_chosen(hash, error),
                }
            }
        }
    }

    fn fields<'a>(&'a self, chosen: Option<&'a [Fields]>) -> &'a [Fields] {
        match (chosen, &self.plan) {
            (Some(chosen), _) => chosen,
            (None, Plan::Same(same)) => &same.fields,
            (None, Plan::PerKey { .. }) => &[],
        }
    }
}

/// A decision that waits for nothing any more.
fn now(decision: Decision<Admission>) -> Result<Admission, Halt> {
    match decision {
        Decision::Now(outcome) => outcome,
        Decision::Later(_) => {
            Err(ApiError::internal().with_source("a decision came later twice").into())
        }
    }
}

fn standings(readings: &[Reading]) -> Each<Standing> {
    let mut standings = Each::none(Standing::new(0, None));
    for reading in readings {
        standings.push(Standing::new(reading.remaining, reading.more_in.map(nanos)));
    }
    standings
}

fn refused(readings: &[Reading], standings: Each<Standing>) -> Refused {
    let mut waits = Each::none(None);
    for reading in readings {
        waits.push(match reading.fit {
            Fit::Fits => Some(0),
            Fit::After(wait) => Some(nanos(wait)),
            Fit::Never => None,
        });
    }
    Refused { standings, waits }
}

fn nanos(duration: Duration) -> u64 {
    // one less than never
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX - 1)
}

fn shortest_window(quotas: &[Quota]) -> u64 {
    quotas.iter().map(|quota| nanos(quota.window())).min().unwrap_or(0)
}
