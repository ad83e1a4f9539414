//! What a request costs, which requests count, and by which quotas.

use http::{HeaderName, request, response};
use palisade_core::Principal;

use super::RateLimitBuilder;
use crate::{Key, Quotas};

impl<K: Key> RateLimitBuilder<K> {
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
}
