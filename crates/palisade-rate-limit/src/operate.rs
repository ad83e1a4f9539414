//! A limit without a request, and in the clock of an operator.

use std::{future::Future, time::Duration};

use palisade_core::{ApiError, Decision, Halt};

#[cfg(feature = "store")]
use crate::Action;
use crate::{
    Key, Quota, RateLimit, RateLimitStatus, Standing,
    algorithm::Outcome,
    counters::{Counter, Now},
    per_quota::PerQuota,
    quota_source::QuotaSource,
};

impl<K: Key> RateLimit<K> {
    /// Charges a key without a request, and returns what is left. For messages of a WebSocket, jobs, or fields of a GraphQL
    /// query. They share the counts of the requests that pass the limit as a policy.
    ///
    /// The key is the value that the limit's [`Key`] returns for requests: [`ByAddress::key_of`](crate::ByAddress::key_of),
    /// [`ByPrincipal::key_of`](crate::ByPrincipal::key_of), [`FieldLines::from_value`](crate::FieldLines::from_value), the
    /// value of a closure, or a tuple of these. If quotas are [chosen](crate::RateLimitBuilder::quota) for each request, the
    /// quotas that the limit was built with apply.
    ///
    /// # Errors
    ///
    /// The 429 of a rejected request, with its `Retry-After`; 503 if a shared store fails and the limit fails closed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_rate_limit::{ByAddress, Quota, RateLimit};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let limit = RateLimit::per_address(Quota::per(10, Duration::from_secs(60))).build().unwrap();
    /// let key = ByAddress::default().key_of("192.0.2.1".parse().unwrap());
    /// let status = limit.check(key, 7).await.unwrap();
    /// assert_eq!(status.remaining(), Some(3));
    /// let refusal = limit.check(key, 7).await.unwrap_err();
    /// assert_eq!(refusal.status(), 429);
    /// assert!(refusal.retry_after().is_some());
    /// # });
    /// ```
    pub fn check(
        &self,
        key: K::Of<'_>,
        cost: u32,
    ) -> impl Future<Output = Result<RateLimitStatus, ApiError>> + Send + use<K> {
        let decision = self.decide_key(&Some(key), cost, None);
        let limit = self.clone();
        async move {
            let outcome = match decision {
                Decision::Now(outcome) => outcome,
                Decision::Later(decision) => decision.await,
            };
            match outcome {
                Ok(admission) => Ok(limit.status(&admission).unwrap_or_default()),
                Err(Halt::Refuse(error)) => Err(error),
                Err(Halt::Reply(_)) => Err(ApiError::internal()),
            }
        }
    }

    /// Returns what is left of each quota of a key, and charges nothing. A block does not change it.
    ///
    /// With a shared store it includes the permits that this machine has leased for the key (`SharedStore::leased`), but not
    /// those of other machines.
    ///
    /// # Errors
    ///
    /// 503 if a shared store fails.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{ByPrincipal, Quota, RateLimit};
    /// use palisade_core::Principal;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let limit = RateLimit::per_principal(Quota::per(10, Duration::from_secs(60))).build().unwrap();
    /// let ada = Principal::new("ada");
    /// assert_eq!(limit.peek(ByPrincipal::key_of(&ada)).await.unwrap().remaining(), Some(10));
    /// # });
    /// ```
    pub fn peek(
        &self,
        key: K::Of<'_>,
    ) -> impl Future<Output = Result<RateLimitStatus, ApiError>> + Send + use<K> {
        let limit = &*self.limiter;
        let key = Some(key);
        let hash = limit.hasher.hash_or_missing(key.as_ref());
        let quotas = limit.quotas.without_request();
        #[cfg(feature = "store")]
        let cached_as = match &limit.quotas {
            QuotaSource::Fixed(current) => limit.cached_as(hash, None, current.get().generation),
            QuotaSource::PerRequest(_) => limit.cached_as(hash, Some(&quotas), 0),
        };
        #[cfg(feature = "store")]
        let asked = limit.store.as_ref().map(|store| store.look(&key, cached_as, &quotas));
        let standings =
            self.counters(&quotas).map(|counters| look(&counters, hash, limit.moment()));
        async move {
            #[cfg(feature = "store")]
            if let Some(asked) = asked {
                let standings = asked.await.map_err(unavailable)?;
                return Ok(RateLimitStatus::new(quotas, standings.as_slice().into()));
            }
            Ok(RateLimitStatus::new(quotas, standings?))
        }
    }

    /// Resets the counts of a key. A block remains. With a shared store on all machines.
    ///
    /// # Errors
    ///
    /// 503 if a shared store fails.
    pub fn reset(
        &self,
        key: K::Of<'_>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send + use<K> {
        let limit = &*self.limiter;
        let key = Some(key);
        let hash = limit.hasher.hash_or_missing(key.as_ref());
        for table in limit.quotas.tables() {
            table.reset(hash);
        }
        #[cfg(feature = "store")]
        let asked = limit.store.as_ref().map(|store| store.intervene(&key, Action::Reset));
        async move {
            #[cfg(feature = "store")]
            if let Some(asked) = asked {
                asked.await.map_err(unavailable)?;
            }
            Ok(())
        }
    }

    /// Rejects every request of a key for this time, with 429 and `Retry-After`. Replaces an earlier block and keeps the counts.
    /// With a shared store on all machines; otherwise the block ends with the process.
    ///
    /// # Errors
    ///
    /// 503 if a shared store fails. The key may be blocked nevertheless.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use palisade_rate_limit::{ByAddress, Quota, RateLimit};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let limit = RateLimit::per_address(Quota::per(10, Duration::from_secs(60))).build().unwrap();
    /// let key = ByAddress::default().key_of("192.0.2.1".parse().unwrap());
    /// limit.block(key, Duration::from_secs(3600)).await.unwrap();
    /// assert_eq!(limit.check(key, 1).await.unwrap_err().status(), 429);
    /// limit.unblock(key).await.unwrap();
    /// assert!(limit.check(key, 1).await.is_ok());
    /// # });
    /// ```
    pub fn block(
        &self,
        key: K::Of<'_>,
        duration: Duration,
    ) -> impl Future<Output = Result<(), ApiError>> + Send + use<K> {
        let limit = &*self.limiter;
        let key = Some(key);
        let now = limit.now();
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        #[cfg(feature = "store")]
        let asked =
            limit.store.as_ref().map(|store| store.intervene(&key, Action::Block(duration)));
        #[cfg(feature = "store")]
        let is_local = asked.is_none();
        #[cfg(not(feature = "store"))]
        let is_local = true;
        if is_local {
            limit.blocks.block(
                limit.hasher.hash_or_missing(key.as_ref()),
                now,
                now.saturating_add(nanos),
            );
        }
        async move {
            #[cfg(feature = "store")]
            if let Some(asked) = asked {
                asked.await.map_err(unavailable)?;
            }
            Ok(())
        }
    }

    /// Ends a block, by an operator or by a [`Ban`](crate::Ban), and resets the number of earlier bans. With a shared store on
    /// all machines.
    ///
    /// # Errors
    ///
    /// 503 if a shared store fails.
    pub fn unblock(
        &self,
        key: K::Of<'_>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send + use<K> {
        let limit = &*self.limiter;
        let key = Some(key);
        limit.blocks.unblock(limit.hasher.hash_or_missing(key.as_ref()));
        #[cfg(feature = "store")]
        let asked = limit.store.as_ref().map(|store| store.intervene(&key, Action::Unblock));
        async move {
            #[cfg(feature = "store")]
            if let Some(asked) = asked {
                asked.await.map_err(unavailable)?;
            }
            Ok(())
        }
    }

    fn counters(&self, quotas: &[Quota]) -> Result<Box<[Counter]>, ApiError> {
        match &self.limiter.quotas {
            QuotaSource::Fixed(current) => Ok(current.get().counters.clone()),
            QuotaSource::PerRequest(chooser) => {
                let counters = chooser.tables.counters(quotas);
                counters.map_err(|error| ApiError::internal().with_source(error))
            }
        }
    }
}

/// Returns the standings of a key, without charging it.
fn look(counters: &[Counter], key: u64, now: Now<'_>) -> PerQuota<Standing> {
    let standing = |counter: &Counter| match counter.look(key, now, 0) {
        Outcome::Admitted { standing, .. } | Outcome::Refused { standing, .. } => standing,
    };
    counters.iter().map(standing).collect::<Vec<_>>()[..].into()
}

#[cfg(feature = "store")]
fn unavailable(error: palisade_core::BoxError) -> ApiError {
    ApiError::unavailable().with_source(error)
}
