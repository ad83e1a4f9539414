//! Settings of costs, counted requests and quotas per request.

use http::{HeaderName, request, response};
use palisade_core::Principal;

use super::RateLimitBuilder;
use crate::{Key, Quotas};

impl<K: Key> RateLimitBuilder<K> {
    /// Sets the cost of requests. Default: 1. A request of cost 0 is not charged. A request that costs more than the limit is
    /// always rejected.
    pub fn cost(mut self, cost: impl Fn(&request::Parts) -> u32 + Send + Sync + 'static) -> Self {
        self.cost = Some(Box::new(cost));
        self
    }

    /// Admits matching requests without counting them. Their responses have no rate limit fields.
    pub fn skip(mut self, skip: impl Fn(&request::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.skip = Some(Box::new(skip));
        self
    }

    /// Chooses the quotas of each request, for example by the customer's plan.
    ///
    /// The closure receives the [`Principal`], if the request is authenticated, and the head of the request. The quotas that it
    /// returns replace those that the limit was built with.
    ///
    /// Quotas with the same algorithm and window share a table, so a key whose limit is raised keeps its count: an exact log if
    /// both limits are below the same power of two, and [`gcra`](crate::Quota::gcra) its backlog as a time. At most eight
    /// combinations of algorithm and window are possible. Each has a table of the whole [capacity](Self::capacity), allocated
    /// by its first request. If the capacity is too small for the keys of all plans, a new key starts with the count of the
    /// least active key, which may exceed the quota of a small plan.
    ///
    /// A quota that is not valid rejects its requests with 500, and the reason is logged once. Choosing quotas costs a few
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

    /// Counts a request only if `counts` returns true for its response.
    ///
    /// A request is charged when it arrives, so that concurrent requests cannot exceed the limit, and the charge is returned if
    /// the response does not count. Without a response, because the client has disconnected or the handler has failed, the
    /// request stays charged.
    ///
    /// A gRPC call reports its status in trailers. The closure is called at the end of the call, with the trailers among the
    /// headers. A call without trailers, because it was aborted, stays charged.
    pub fn count_if(
        mut self,
        counts: impl Fn(&response::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.counts = Some(Box::new(counts));
        self
    }

    /// Counts a request only if it fails: with a status of 400 or more, or in gRPC and gRPC-web with a status other than `OK`.
    /// For logins: correct passwords are not counted, and wrong ones are. See [`count_if`](Self::count_if).
    pub fn only_failures(self) -> Self {
        self.count_if(|response| {
            let grpc = response.headers.get("grpc-status");
            response.status.as_u16() >= 400 || grpc.is_some_and(|code| code != "0")
        })
    }

    /// Reserves the [`cost`](Self::cost) of a request when it arrives, and charges its actual cost when it has ended. For
    /// tokens of a language model, bytes or rows.
    ///
    /// The handler reports the cost in an [`ActualCost`](crate::ActualCost): it clones the one in the request's extensions and
    /// adds to it while it streams, or it inserts another into the response's extensions, which then replaces the first, or
    /// the response has a [trailer](Self::settled_by_trailer). The cost is read when the body has ended, failed or been
    /// dropped; a cost in the response's extensions also when the response arrives. The last value counts: if it is less than
    /// the reserved cost, the difference is returned; if it is more, the difference is charged as far as there is room. If no
    /// cost is reported, the reserved cost stays charged.
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

    /// [Settles](Self::settled) costs by a trailer with a decimal number, also of gRPC and gRPC-web responses.
    pub fn settled_by_trailer(mut self, name: HeaderName) -> Self {
        self.settles = true;
        self.cost_trailer = Some(name);
        self
    }
}
