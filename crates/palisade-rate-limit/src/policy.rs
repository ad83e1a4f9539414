use std::{fmt, sync::Arc};

use http::{request, response};
use palisade_core::{Decision, Outcome, Policy, PolicyLayer, WatchBody, watch_until_end};

use crate::{
    ActualCost, Admission, ByAddress, ByPrincipal, Key, MissingKey, Quota, Quotas,
    RateLimitBuilder, RateLimitHandle, RateLimitStatus,
    attempt::Chosen,
    limiter::Shared,
    plan::Plan,
    settle::Settlement,
    trailers::{self, AtTheEnd},
};

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
    pub(crate) shared: Arc<Shared<K>>,
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
    /// [`Principal`](palisade_core::Principal); where there is none, the request is refused with 500.
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
    pub(crate) fn new(shared: Shared<K>) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// Returns the quotas of each key. Empty where they are [chosen for each request](RateLimitBuilder::quota).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{Quota, RateLimit};
    /// let quota = Quota::per(100, Duration::from_secs(60)).named("per-client");
    /// assert_eq!(RateLimit::per_address(quota.clone()).build().unwrap().quotas(), [quota]);
    /// ```
    pub fn quotas(&self) -> Vec<Quota> {
        match &self.shared.plan {
            Plan::Same(current) => current.get().quotas.to_vec(),
            Plan::PerKey(_) => Vec::new(),
        }
    }

    /// Returns a handle that replaces the quotas while the limit serves.
    pub fn handle(&self) -> RateLimitHandle<K> {
        RateLimitHandle::new(Arc::clone(&self.shared))
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
    /// assert!(limit.table_bytes() < 3_400_000, "100,000 keys");
    /// ```
    pub fn table_bytes(&self) -> usize {
        self.shared.plan.tables().iter().map(|table| table.bytes()).sum()
    }
}

impl<K: Key> Policy for RateLimit<K> {
    type Grant = Admission;

    /// It does not decide who may come in.
    fn abstains(_: &Self::Grant) -> bool {
        true
    }

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
        self.decide_key(&key, cost, Some(request))
    }

    /// Leaves on the request what is left of its quotas, and what its cost can be settled with.
    fn admit(&self, admission: &mut Admission, request: &mut request::Parts) {
        if self.shared.settings.has_status
            && let Some(status) = self.status(admission)
        {
            match request.extensions.get_mut::<RateLimitStatus>() {
                Some(outer) => outer.push(status),
                None => drop(request.extensions.insert(status)),
            }
        }
        if self.shared.settings.settles
            && let Some((charge, reserved)) = admission.take_charge()
        {
            let cost = ActualCost::default();
            request.extensions.insert(cost.clone());
            let limit = Arc::clone(&self.shared);
            let unsettled = Box::new(Settlement::new(limit, charge, reserved, cost));
            admission.rest_mut().unsettled = Some(unsettled);
        }
    }

    /// `RateLimit-Policy` and `RateLimit`.
    fn header_fields(&self) -> usize {
        2
    }

    fn finish(&self, mut admission: Admission, response: &mut response::Parts) {
        let limit = &*self.shared;
        let settings = &limit.settings;
        let standings = admission.standings().iter().copied();
        let unix = || settings.clock.unix();
        let chosen = admission.rest().and_then(|rest| rest.chosen.as_ref());
        match (chosen, &limit.plan) {
            (Some(Chosen { fields, .. }), _) => {
                settings.headers.write(fields.iter().zip(standings), &mut response.headers, unix);
            }
            (None, Plan::Same(current)) => {
                let same = current.get();
                // Quotas that were replaced meanwhile have other names and numbers.
                if same.generation == admission.generation {
                    let fields = same.fields.iter().zip(standings);
                    settings.headers.write(fields, &mut response.headers, unix);
                }
            }
            (None, Plan::PerKey(_)) => {}
        }
        if let Some(unsettled) = admission.take_unsettled() {
            watch_until_end(response, Watching(unsettled.answered(response)));
        }
        if let Some((charge, amount)) = admission.take_charge() {
            if trailers::will_say(response) {
                let limit = Arc::clone(&self.shared);
                watch_until_end(response, AtTheEnd::new(limit, (charge, amount), response));
            } else {
                limit.settle(&charge, amount, response);
            }
        }
    }

    fn would_have_said<'a>(&self, admission: &'a Admission) -> Option<Outcome<'a>> {
        admission.would_have_been()
    }
}

/// A boxed watcher.
struct Watching(Box<dyn WatchBody>);

impl WatchBody for Watching {
    fn trailers(&mut self, trailers: &http::HeaderMap) {
        self.0.trailers(trailers);
    }

    fn end(self: Box<Self>, end: palisade_core::BodyEnd) {
        self.0.end(end);
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
