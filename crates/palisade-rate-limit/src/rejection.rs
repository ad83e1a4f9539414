//! The rejection of a request: the error, its fields, and the lines in the log.

use std::{error::Error, sync::atomic::Ordering, time::Duration};

use palisade_core::{ApiError, ConfigError, Decision, Issue, IssueCode, QuotaViolation};

use crate::{
    Admission, Quota,
    attempt::Attempt,
    counters::Refused,
    headers::QuotaFields,
    limiter::{FloorLogged, Limiter},
};

pub(crate) const COST_EXCEEDS_LIMIT: IssueCode =
    IssueCode::new("cost_exceeds_limit", "The request costs more than its limit ever allows.", &[]);

/// A flood is logged again after this many nanoseconds.
const FLOOR_LOG_PAUSE: u64 = 60_000_000_000;

impl<K> Limiter<K> {
    /// Rejects a request with this error, or admits it if its key is only observed.
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
            "the limit would have rejected the request"
        );
        Decision::grant(Admission::would_refuse(error))
    }

    /// Rejects a request of a key that is blocked for this many nanoseconds, or admits it if the key is only observed.
    #[cold]
    pub(crate) fn refuse_blocked(&self, hash: u64, blocked_for: u64) -> Decision<Admission> {
        if self.is_enforced(Some(hash)) {
            self.stats.blocked.fetch_add(1, Ordering::Relaxed);
        }
        let error = ApiError::rate_limited()
            .with_message("the client is blocked for a while")
            .with_retry_after(Duration::from_nanos(blocked_for));
        self.refuse_with(Some(hash), error)
    }

    /// Rejects a request that is over its quotas, or admits it if its key is only observed. Counts the rejection for the
    /// ban.
    #[cold]
    pub(crate) fn refuse(
        &self,
        attempt: Attempt,
        quotas: &[Quota],
        fields: &[QuotaFields],
        refused: &Refused,
    ) -> Decision<Admission> {
        let is_counted = !attempt.may_wait;
        let ban =
            is_counted.then(|| self.blocks.count_rejection(attempt.hash, self.now())).flatten();
        self.refuse_and_ban(attempt, quotas, fields, refused, ban)
    }

    /// Rejects a request that is over its quotas, and logs the ban that the rejection caused.
    #[cold]
    pub(crate) fn refuse_and_ban(
        &self,
        attempt: Attempt,
        quotas: &[Quota],
        fields: &[QuotaFields],
        refused: &Refused,
        ban: Option<Duration>,
    ) -> Decision<Admission> {
        let Attempt { hash, cost, may_wait } = attempt;
        self.log_floor();
        if let Some(length) = ban {
            tracing::warn!(
                limit = &*self.settings.name,
                seconds = length.as_secs_f64(),
                "a key is blocked because it sent requests after many rejections"
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
                "the limit would have rejected the request"
            );
            return Decision::grant(Admission::would_refuse(ApiError::rate_limited()));
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
        fields: &[QuotaFields],
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
            // Waiting cannot help, so the response has no `Retry-After`.
            None => error,
        }
    }

    /// Logs once that the key is missing on requests because the stack is built wrongly. Returns the error unchanged.
    #[cold]
    pub(crate) fn without_key(&self, error: ApiError) -> ApiError {
        let is_misconfigured = error.status().is_server_error();
        if is_misconfigured && !self.missing_key_logged.swap(true, Ordering::Relaxed) {
            let fix = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(
                limit = &*self.settings.name,
                "a rate limit rejects every request with 500: {fix}"
            );
        }
        error
    }

    /// Rejects a request with 500 because a quota that was chosen for it is not valid. Logs the first such error.
    #[cold]
    pub(crate) fn badly_chosen(&self, hash: u64, error: ConfigError) -> Decision<Admission> {
        if !self.invalid_quota_logged.swap(true, Ordering::Relaxed) {
            tracing::error!(
                limit = &*self.settings.name,
                "a quota that was chosen for a request is not valid, and the request is rejected with 500: {error}"
            );
        }
        self.refuse_with(Some(hash), ApiError::internal().with_source(error))
    }

    /// Logs that keys are rejected because of the counts of evicted keys, at most once a minute.
    fn log_floor(&self) {
        let rejected = self.quotas.floor_reached();
        if rejected == 0 {
            return;
        }
        // Another thread that holds the lock logs it.
        let Ok(mut logged) = self.floor_logged.try_lock() else { return };
        let now = self.now();
        if rejected > logged.rejected && now >= logged.next_at {
            *logged = FloorLogged { rejected, next_at: now.saturating_add(FLOOR_LOG_PAUSE) };
            tracing::warn!(
                limit = &*self.settings.name,
                rejected,
                "more keys are active than the table of a rate limit has room for, and new ones are rejected because of \
                 what evicted keys had used: give the limit a larger capacity, or reject the flood before it"
            );
        }
    }
}
