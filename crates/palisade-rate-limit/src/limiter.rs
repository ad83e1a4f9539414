//! What all clones of a limit share, and how it charges, refuses and gives back.

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, request, response};
use palisade_core::{
    ApiError, Clock, ConfigError, Decision, Issue, IssueCode, Principal, QuotaViolation,
};

#[cfg(feature = "store")]
use crate::shared;
use crate::{
    Admission, MissingKey, Quota, QuotaHeaders, Quotas, Standing,
    admission::Charge,
    attempt::{Attempt, Chosen},
    blocks::Blocks,
    counters::{self, Charged, Counter, Now, Refused},
    headers::Fields,
    key::hash::KeyHash,
    per_quota::PerQuota,
    plan::{Plan, Same},
    waiting::Waiting,
};

pub(crate) const COST_EXCEEDS_LIMIT: IssueCode =
    IssueCode::new("cost_exceeds_limit", "The request costs more than its limit ever allows.", &[]);

pub(crate) struct Shared<K> {
    pub(crate) key: K,
    pub(crate) plan: Plan,
    pub(crate) settings: Settings,
    pub(crate) hasher: KeyHash,
    pub(crate) blocks: Blocks,
    pub(crate) waiting: Option<Arc<Waiting>>,
    pub(crate) stats: Stats,
    pub(crate) has_said_what_is_missing: AtomicBool,
    pub(crate) has_said_what_is_wrong: AtomicBool,
    /// The requests that were rejected because of evicted keys when that was last logged, and when that was.
    pub(crate) floor_logged: Mutex<FloorLogged>,
    #[cfg(feature = "store")]
    pub(crate) store: Option<Arc<shared::StoreClient>>,
}

/// Counts of decisions, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) rejected: AtomicU64,
    /// Of these, those of keys that are blocked.
    pub(crate) blocked: AtomicU64,
    /// Admitted requests that left less than a tenth of a quota.
    pub(crate) near: AtomicU64,
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
    /// Costs are settled when requests are over.
    pub(crate) settles: bool,
    /// Handlers can read what is left.
    pub(crate) has_status: bool,
    /// The trailer that says what a request has cost.
    pub(crate) cost_trailer: Option<HeaderName>,
}

impl Settings {
    /// Returns true if a charge may change when its response has come.
    pub(crate) fn changes_charges(&self) -> bool {
        self.counts.is_some() || self.settles
    }
}

pub(crate) type CostOf = dyn Fn(&request::Parts) -> u32 + Send + Sync;
pub(crate) type Matches = dyn Fn(&request::Parts) -> bool + Send + Sync;
pub(crate) type Counts = dyn Fn(&response::Parts) -> bool + Send + Sync;
pub(crate) type Choose = dyn Fn(Option<&Principal>, &request::Parts) -> Quotas + Send + Sync;

/// Returns the time of the monotonic clock, in nanoseconds.
pub(crate) fn monotonic(clock: &dyn Clock) -> u64 {
    let time = clock.monotonic();
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

#[inline(never)]
fn keep_charge(admission: &mut Admission, charge: Charge, amount: u32) {
    admission.rest_mut().charge = Some((charge, amount));
}

impl<K> Shared<K> {
    /// Counts a request by quotas that were chosen for it.
    pub(crate) fn count_chosen(
        &self,
        attempt: Attempt,
        chosen: Chosen,
        counters: &[Counter],
    ) -> Decision<Admission> {
        let (Attempt { hash, cost, .. }, Chosen { quotas, fields }) = (attempt, &chosen);
        match counters::charge(counters, hash, self.moment(), cost) {
            Ok(charged) => {
                self.note_near(quotas, charged.standings.as_slice());
                let mut admission = self.admit(charged, counters, hash, cost, 0);
                admission.rest_mut().chosen = Some(chosen);
                Decision::grant(admission)
            }
            Err(refused) => self.refuse(attempt, quotas, fields, &refused),
        }
    }

    /// Returns the time of the monotonic clock, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        monotonic(&*self.settings.clock)
    }

    /// Returns the time for a decision.
    pub(crate) fn moment(&self) -> Now<'_> {
        Now::read(&*self.settings.clock)
    }

    /// The grant of a request that was charged.
    #[inline]
    pub(crate) fn admit(
        &self,
        charged: Charged,
        counters: &[Counter],
        key: u64,
        amount: u32,
        generation: u32,
    ) -> Admission {
        let Charged { standings, at } = charged;
        let mut admission = self.admission(key, standings, generation);
        if self.keeps_charges() {
            let charge = Charge::Here { key, at, counters: counters.into() };
            keep_charge(&mut admission, charge, amount);
        }
        admission
    }

    /// Returns true if a charge may change when its response has come.
    pub(crate) fn keeps_charges(&self) -> bool {
        self.settings.changes_charges()
    }

    /// A grant that tells the response where the key stands, unless the key is only observed.
    #[inline]
    pub(crate) fn admission(
        &self,
        hash: u64,
        standings: PerQuota<Standing>,
        generation: u32,
    ) -> Admission {
        if self.is_enforced(Some(hash)) {
            Admission::standing_at(standings, generation)
        } else {
            Admission::watched()
        }
    }

    /// Counts requests that leave less than a tenth of a quota.
    #[inline]
    pub(crate) fn note_near(&self, quotas: &[Quota], standings: &[Standing]) {
        let mut quotas = quotas.iter().zip(standings);
        let is_near = |(quota, standing): (&Quota, &Standing)| {
            standing.has_less_than(quota.limit().div_ceil(10))
        };
        if quotas.any(is_near) {
            self.stats.near.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a key is refused what it is over. Who has none is, unless nobody is.
    #[inline]
    pub(crate) fn is_enforced(&self, hash: Option<u64>) -> bool {
        let enforced = self.settings.enforced;
        enforced == u64::MAX || hash.map_or(enforced > 0, |hash| hash < enforced)
    }

    /// Refuses a request, unless its key is only watched.
    pub(crate) fn refuse_with(&self, hash: Option<u64>, error: ApiError) -> Decision<Admission> {
        if self.is_enforced(hash) {
            self.stats.rejected.fetch_add(1, Ordering::Relaxed);
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
    pub(crate) fn settle(&self, charge: &Charge, amount: u32, response: &response::Parts) {
        if self.settings.counts.as_ref().is_some_and(|counts| !counts(response)) {
            self.give_back(charge, amount);
        }
    }

    /// Gives back a part of a charge, as far as it still counts.
    pub(crate) fn give_back(&self, charge: &Charge, amount: u32) {
        match charge {
            Charge::Here { key, at, counters } => {
                counters::give_back(counters, *key, self.moment(), amount, at.as_slice());
            }
            #[cfg(feature = "store")]
            Charge::Shared(receipt) => receipt.give_back(amount),
        }
    }

    /// Charges more than was charged before, as far as there is room.
    pub(crate) fn charge_more(&self, charge: &Charge, amount: u32) {
        match charge {
            Charge::Here { key, counters, .. } => {
                let now = self.moment();
                for counter in counters {
                    counters::charge_more(counter, *key, now, amount);
                }
            }
            #[cfg(feature = "store")]
            Charge::Shared(receipt) => receipt.charge_more(amount),
        }
    }

    /// Refuses a request of a key that is blocked for so many nanoseconds, unless the key is only observed.
    #[cold]
    pub(crate) fn refuse_blocked(&self, hash: u64, rest: u64) -> Decision<Admission> {
        if self.is_enforced(Some(hash)) {
            self.stats.blocked.fetch_add(1, Ordering::Relaxed);
        }
        let error = ApiError::rate_limited()
            .with_message("the client is blocked for a while")
            .with_retry_after(Duration::from_nanos(rest));
        self.refuse_with(Some(hash), error)
    }

    /// Replaces the quotas.
    ///
    /// # Errors
    ///
    /// If one cannot be counted, or quotas are chosen for each request.
    pub(crate) fn replace(&self, quotas: Quotas) -> Result<(), ConfigError> {
        let Plan::Same(current) = &self.plan else {
            let remedy =
                "this limit chooses quotas for each request: let its closure choose others";
            return Err(ConfigError::new("quotas", format_args!("{quotas:?}"), remedy));
        };
        let quotas = quotas.named_after(&self.settings.name);
        Same::check(&quotas)?;
        #[cfg(feature = "store")]
        if let Some(store) = &self.store {
            store.supports(&quotas.iter().cloned().collect::<Vec<_>>())?;
        }
        current.replace(&quotas)
    }

    /// Logs when keys begin to be rejected because of what evicted keys had used, and at most once a minute.
    fn log_floor(&self) {
        let rejected = self.plan.floor_reached();
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
        attempt: Attempt,
        quotas: &[Quota],
        fields: &[Fields],
        refused: &Refused,
    ) -> Decision<Admission> {
        let is_counted = !attempt.may_wait;
        let ban =
            is_counted.then(|| self.blocks.count_rejection(attempt.hash, self.now())).flatten();
        self.refuse_and_ban(attempt, quotas, fields, refused, ban)
    }

    /// Refuses a request, with the ban that the refusal has earned.
    #[cold]
    pub(crate) fn refuse_and_ban(
        &self,
        attempt: Attempt,
        quotas: &[Quota],
        fields: &[Fields],
        refused: &Refused,
        ban: Option<Duration>,
    ) -> Decision<Admission> {
        let Attempt { hash, cost, may_wait } = attempt;
        self.log_floor();
        if let Some(length) = ban {
            tracing::warn!(
                limit = &*self.settings.name,
                seconds = length.as_secs_f64(),
                "a key is blocked because it went on after many rejections"
            );
        }
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
        if !may_wait {
            self.stats.rejected.fetch_add(1, Ordering::Relaxed);
        }
        Decision::refuse(self.refusal(cost, quotas, fields, refused, ban.unwrap_or_default()))
    }

    #[cold]
    fn refusal(
        &self,
        cost: u32,
        quotas: &[Quota],
        fields: &[Fields],
        refused: &Refused,
        ban: Duration,
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
            never_fits |= wait.is_none();
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
            Some(nanos) => error.with_retry_after(Duration::from_nanos(nanos).max(ban)),
            // Waiting cannot help, and no time to come back is the only honest one.
            None => error,
        }
    }

    /// A limit that cannot tell whom it counts refuses: passing would be a limit that is not there.
    #[cold]
    pub(crate) fn without_key(&self, error: ApiError) -> ApiError {
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
