use std::{fmt, sync::Arc, time::Duration};

use http::Extensions;

use crate::{Quota, Standing, per_quota::PerQuota};

/// The remaining quotas of a request, in its extensions.
///
/// Every [`RateLimit`](crate::RateLimit) that counts a request adds its quotas, except a limit
/// [without status](crate::RateLimitBuilder::without_status). A request that was skipped or whose key is only observed has no
/// status. With the feature `axum` it is an extractor, which rejects with 500 if no limit has counted the request;
/// `Option<RateLimitStatus>` never rejects.
///
/// ```
/// use std::time::Duration;
/// use palisade_core::{Decision, PeerAddr, Policy};
/// use palisade_rate_limit::{Quota, RateLimit, RateLimitStatus};
///
/// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build().unwrap();
/// let (mut head, ()) = http::Request::new(()).into_parts();
/// head.extensions.insert(PeerAddr("192.0.2.1:4000".parse().unwrap()));
///
/// let Decision::Now(Ok(mut grant)) = limit.decide(&head) else { panic!() };
/// limit.admit(&mut grant, &mut head);
/// let status: &RateLimitStatus = head.extensions.get().unwrap();
/// assert_eq!(status.remaining(), Some(99));
/// assert_eq!(status.quotas().next().unwrap().name(), "default");
/// ```
#[derive(Clone, Default)]
pub struct RateLimitStatus {
    /// The first limit needs no allocation. Few requests pass several.
    first: Option<Limit>,
    others: Vec<Limit>,
}

/// The quotas of one limit and their standings.
#[derive(Clone)]
struct Limit {
    quotas: Arc<[Quota]>,
    standings: PerQuota<Standing>,
}

/// The state of one quota. See [`RateLimitStatus::quotas`].
#[derive(Clone, Copy, Debug)]
pub struct QuotaStatus<'a> {
    quota: &'a Quota,
    standing: Standing,
}

impl RateLimitStatus {
    pub(crate) fn new(quotas: Arc<[Quota]>, standings: PerQuota<Standing>) -> Self {
        Self { first: Some(Limit { quotas, standings }), others: Vec::new() }
    }

    /// Inserts the status into the extensions of a request, or adds it to that of outer limits.
    pub(crate) fn insert_into(self, extensions: &mut Extensions) {
        let mut status = Some(self);
        let statuses = extensions.get_or_insert_with(|| status.take().unwrap_or_default());
        if let Some(status) = status {
            statuses.push(status);
        }
    }

    /// Adds the quotas of an inner limit.
    fn push(&mut self, other: Self) {
        if self.first.is_none() {
            *self = other;
        } else {
            self.others.extend(other.first);
            self.others.extend(other.others);
        }
    }

    /// Returns the quotas of all limits, the outermost limit first.
    pub fn quotas(&self) -> impl Iterator<Item = QuotaStatus<'_>> {
        self.first.iter().chain(&self.others).flat_map(|limit| {
            let standings = limit.standings.as_slice().iter();
            let quotas = limit.quotas.iter().zip(standings);
            quotas.map(|(quota, standing)| QuotaStatus { quota, standing: *standing })
        })
    }

    /// Returns how many requests of cost 1 would be admitted now by all quotas. `None` if the request was not counted.
    pub fn remaining(&self) -> Option<u32> {
        self.quotas().map(|quota| quota.remaining()).min()
    }
}

impl<'a> QuotaStatus<'a> {
    /// Returns the name of the quota.
    pub fn name(&self) -> &'a str {
        self.quota.name()
    }

    /// Returns the limit of the quota.
    pub fn limit(&self) -> u32 {
        self.quota.limit()
    }

    /// Returns how many requests of cost 1 would be admitted now.
    pub fn remaining(&self) -> u32 {
        self.standing.remaining()
    }

    /// Returns the time until there is more. `None` if there is never more than now.
    pub fn more_in(&self) -> Option<Duration> {
        self.standing.more_in()
    }
}

impl fmt::Debug for RateLimitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quotas = self.quotas().map(|quota| (quota.name(), quota.remaining()));
        f.debug_map().entries(quotas).finish()
    }
}

#[cfg(feature = "axum")]
mod extract {
    use std::convert::Infallible;

    use axum::extract::{FromRequestParts, OptionalFromRequestParts};
    use http::request;
    use palisade_core::ApiError;

    use super::RateLimitStatus;

    const NO_LIMIT: &str = "the request has no RateLimitStatus because no rate limit has counted it. \
         Add the limit as a layer, or extract an Option<RateLimitStatus>";

    impl<S: Sync> FromRequestParts<S> for RateLimitStatus {
        type Rejection = ApiError;

        async fn from_request_parts(head: &mut request::Parts, _: &S) -> Result<Self, ApiError> {
            let status = head.extensions.get().cloned();
            status.ok_or_else(|| ApiError::report_misconfiguration(&head.extensions, NO_LIMIT))
        }
    }

    impl<S: Sync> OptionalFromRequestParts<S> for RateLimitStatus {
        type Rejection = Infallible;

        async fn from_request_parts(
            head: &mut request::Parts,
            _: &S,
        ) -> Result<Option<Self>, Infallible> {
            Ok(head.extensions.get().cloned())
        }
    }
}
