use std::{fmt, sync::Arc};

use http::{request, response};
use palisade_core::{
    Allowed, Decision, Description, Policy, PolicyLayer, WatchBody, watch_until_end,
};

use crate::{
    ActualCost, Admission, ByAddress, ByPrincipal, Key, MissingKey, Quota, Quotas,
    RateLimitBuilder, RateLimitHandle, RateLimitStatus,
    attempt::Attempt,
    limiter::Limiter,
    quota_source::{Chosen, QuotaSource},
    settle::Settlement,
    trailers::{self, PendingCharge},
    waiting_request::WaitingRequest,
};

/// Limits how many requests a client may send. Clones share their counts: a request that passes the same limit on a router and
/// again on a route is counted twice.
///
/// A request over a quota is rejected with 429 and `Retry-After`, over gRPC with `RESOURCE_EXHAUSTED`, without reading its
/// body. It is charged to no quota. Every response reports the client's quotas in `RateLimit-Policy` and `RateLimit`
/// (draft-ietf-httpapi-ratelimit-headers-10), or in other [`headers`](RateLimitBuilder::headers). Several limits on one
/// request add a field each, so give each a [name](RateLimitBuilder::name).
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
    pub(crate) limiter: Arc<Limiter<K>>,
}

impl RateLimit<ByAddress> {
    /// Limits each client address, and IPv6 clients by their /64. Place it before authentication, so that it limits login
    /// attempts too.
    ///
    /// The request must carry the address (see [`ClientIp`](palisade_core::ClientIp)). Otherwise it is rejected with 500, and
    /// the remedy is logged once.
    pub fn per_address(quotas: impl Into<Quotas>) -> RateLimitBuilder<ByAddress> {
        RateLimit::per_key(ByAddress::default(), quotas)
    }
}

impl RateLimit<ByPrincipal> {
    /// Limits each caller, by issuer and subject. Place it after authentication, which sets the
    /// [`Principal`](palisade_core::Principal). A request without a principal is rejected with 500.
    pub fn per_principal(quotas: impl Into<Quotas>) -> RateLimitBuilder<ByPrincipal> {
        RateLimit::per_key(ByPrincipal, quotas)
    }
}

impl<K: Key> RateLimit<K> {
    /// Limits by another [`Key`], or by several in a tuple.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_rate_limit::{ByAddress, ByMethod, Quota, RateLimit, by};
    ///
    /// // Reads and writes of each client are counted apart.
    /// let quota = Quota::per(100, Duration::from_secs(60));
    /// let limit = RateLimit::per_key((ByAddress::default(), ByMethod), quota).build()?;
    ///
    /// // All clients are counted together.
    /// let all = by(|_: &http::request::Parts| Some(()));
    /// let limit = RateLimit::per_key(all, Quota::per(5000, Duration::from_secs(1))).capacity(1).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn per_key(key: K, quotas: impl Into<Quotas>) -> RateLimitBuilder<K> {
        RateLimitBuilder::new(key, quotas.into())
    }

    /// Returns the limit as a tower layer. All layers and services of this limit share its counts.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

impl<K> RateLimit<K> {
    pub(crate) fn new(limiter: Limiter<K>) -> Self {
        Self { limiter: Arc::new(limiter) }
    }

    /// Returns the quotas of each key. Empty if they are [chosen for each request](RateLimitBuilder::quota).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let quota = Quota::per(100, Duration::from_secs(60)).named("per-client");
    /// assert_eq!(RateLimit::per_address(quota.clone()).build().unwrap().quotas(), [quota]);
    /// ```
    pub fn quotas(&self) -> Vec<Quota> {
        match &self.limiter.quotas {
            QuotaSource::Fixed(current) => current.get().quotas.to_vec(),
            QuotaSource::PerRequest(_) => Vec::new(),
        }
    }

    /// Returns a handle that replaces the quotas while the limit serves.
    pub fn handle(&self) -> RateLimitHandle<K> {
        RateLimitHandle::new(Arc::clone(&self.limiter))
    }

    /// Returns counts of the limit's questions to its store. `None` without a store.
    #[cfg(feature = "store")]
    pub fn store_stats(&self) -> Option<crate::StoreStats> {
        self.limiter.store.as_ref().map(|store| store.stats())
    }

    /// Returns the size of the tables in bytes. It is constant, unless quotas are
    /// [chosen for each request](RateLimitBuilder::quota): then each window has its own table.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build().unwrap();
    /// assert!(limit.table_bytes() < 3_400_000, "100,000 keys");
    /// ```
    pub fn table_bytes(&self) -> usize {
        self.limiter.quotas.tables().iter().map(|table| table.bytes()).sum()
    }
}

impl<K: Key> RateLimit<K> {
    /// Decides about a key. Without a request, the quotas that the limit was built with apply.
    #[inline]
    pub(crate) fn decide_key(
        &self,
        key: &Option<K::Of<'_>>,
        cost: u32,
        request: Option<&request::Parts>,
    ) -> Decision<Admission> {
        let limit = &self.limiter;
        let hash = limit.hasher.hash_or_missing(key.as_ref());
        let attempt = Attempt { hash, cost, may_wait: false };
        let chosen = match &limit.quotas {
            QuotaSource::Fixed(_) => None,
            QuotaSource::PerRequest(chooser) => match chooser.choose(request, &limit.settings.name)
            {
                Ok(chosen) => Some(chosen),
                Err(error) => return limit.badly_chosen(hash, error),
            },
        };
        #[cfg(feature = "store")]
        let digest = || limit.store.as_ref().map(|store| store.digest(key));
        #[cfg(not(feature = "store"))]
        let digest = || None::<[u8; 16]>;
        if let Some(waiting) = &limit.waiting
            && limit.is_enforced(Some(hash))
        {
            let (limit, waiting, digest) = (Arc::clone(limit), Arc::clone(waiting), digest());
            return WaitingRequest { limit, waiting, attempt, digest, chosen }.decide();
        }
        limit.attempt(attempt, || digest().unwrap_or_default(), chosen)
    }

    /// Returns what is left of the quotas of a request. `None` if it was not counted.
    pub(crate) fn status(&self, admission: &Admission) -> Option<RateLimitStatus> {
        if admission.standings().is_empty() {
            return None;
        }
        let chosen = admission.extras().and_then(|extras| extras.chosen.as_ref());
        let quotas = match (chosen, &self.limiter.quotas) {
            (Some(chosen), _) => Arc::clone(&chosen.quotas),
            (None, QuotaSource::Fixed(current)) => {
                let set = current.get();
                if set.generation != admission.generation {
                    return None;
                }
                Arc::clone(&set.quotas)
            }
            (None, QuotaSource::PerRequest(_)) => return None,
        };
        Some(RateLimitStatus::new(quotas, admission.all_standings()))
    }
}

impl<K: Key> Policy for RateLimit<K> {
    type Grant = Admission;

    /// A rate limit does not authorize requests.
    fn allowed(admission: &Admission) -> Allowed {
        admission.trial_outcome().map_or(Allowed::WithoutDecision, Allowed::OnTrial)
    }

    /// Checks and charges the quotas of the key in one step.
    fn decide(&self, request: &request::Parts) -> Decision<Admission> {
        let limit = &*self.limiter;
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
        self.decide_key(&key, cost, Some(request))
    }

    /// Adds the [`RateLimitStatus`] and the [`ActualCost`] to the request's extensions.
    fn admit(&self, admission: &mut Admission, request: &mut request::Parts) {
        if self.limiter.settings.has_status
            && let Some(status) = self.status(admission)
        {
            status.insert_into(&mut request.extensions);
        }
        if self.limiter.settings.settles
            && let Some((charge, reserved)) = admission.take_charge()
        {
            let cost = ActualCost::default();
            request.extensions.insert(cost.clone());
            let limit = Arc::clone(&self.limiter);
            let unsettled = Box::new(Settlement::new(limit, charge, reserved, cost));
            admission.extras_mut().unsettled = Some(unsettled);
        }
    }

    /// `RateLimit-Policy` and `RateLimit`.
    fn describe(&self) -> Description {
        Description::of_type::<Self>().header_fields(2)
    }

    fn finish(&self, mut admission: Admission, response: &mut response::Parts) {
        let limit = &*self.limiter;
        let settings = &limit.settings;
        let standings = admission.standings().iter().copied();
        let unix = || settings.clock.unix();
        let chosen = admission.extras().and_then(|extras| extras.chosen.as_ref());
        match (chosen, &limit.quotas) {
            (Some(Chosen { fields, .. }), _) => {
                settings.headers.write(fields.iter().zip(standings), &mut response.headers, unix);
            }
            (None, QuotaSource::Fixed(current)) => {
                let set = current.get();
                // The names and limits of replaced quotas do not match the standings.
                if set.generation == admission.generation {
                    let fields = set.fields.iter().zip(standings);
                    settings.headers.write(fields, &mut response.headers, unix);
                }
            }
            (None, QuotaSource::PerRequest(_)) => {}
        }
        if let Some(unsettled) = admission.take_unsettled() {
            watch_until_end(response, BoxedWatcher(unsettled.answered(response)));
        }
        if let Some((charge, amount)) = admission.take_charge() {
            if trailers::has_status_in_trailers(response) {
                let limit = Arc::clone(&self.limiter);
                watch_until_end(response, PendingCharge::new(limit, (charge, amount), response));
            } else {
                limit.settle(&charge, amount, response);
            }
        }
    }
}

struct BoxedWatcher(Box<dyn WatchBody>);

impl WatchBody for BoxedWatcher {
    fn trailers(&mut self, trailers: &http::HeaderMap) {
        self.0.trailers(trailers);
    }

    fn end(self: Box<Self>, end: palisade_core::BodyEnd) {
        self.0.end(end);
    }
}

impl<K> Clone for RateLimit<K> {
    fn clone(&self) -> Self {
        Self { limiter: Arc::clone(&self.limiter) }
    }
}

impl<K> fmt::Debug for RateLimit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("name", &self.limiter.settings.name)
            .field("quotas", &self.quotas())
            .finish_non_exhaustive()
    }
}
