use std::{fmt, sync::Arc};

use palisade_core::ConfigError;

use crate::{Quotas, limiter::Limiter};

/// Replaces the quotas of a [`RateLimit`](crate::RateLimit) at run time. Created by
/// [`RateLimit::handle`](crate::RateLimit::handle).
///
/// All clones of the limit use the new quotas at once. A quota with the algorithm and window of an old one keeps its counts: a
/// client that has used 60 of 100 has 140 left of 200, and 0 of 50. A quota with another algorithm or window starts at zero.
/// Responses to earlier requests have no rate limit fields.
///
/// ```
/// use std::time::Duration;
/// use palisade_core::PeerAddr;
/// use palisade_rate_limit::{ByAddress, Quota, RateLimit};
///
/// let minute = Duration::from_secs(60);
/// let limit = RateLimit::per_address(Quota::per(100, minute)).build()?;
/// limit.handle().replace(Quota::per(200, minute))?;
/// assert_eq!(limit.quotas()[0].limit(), 200);
///
/// // An error changes nothing.
/// assert!(limit.handle().replace(Quota::per(200, Duration::ZERO)).is_err());
/// assert_eq!(limit.quotas()[0].limit(), 200);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct RateLimitHandle<K> {
    limiter: Arc<Limiter<K>>,
}

impl<K> RateLimitHandle<K> {
    pub(crate) fn new(limiter: Arc<Limiter<K>>) -> Self {
        Self { limiter }
    }

    /// Checks the new quotas and uses them for all further requests. With a shared store, call this on all machines.
    ///
    /// # Errors
    ///
    /// The errors of [`RateLimitBuilder::build`](crate::RateLimitBuilder::build). Also if a limit over 65,534 replaces a smaller
    /// one of the same window, whose table has no room for it, or if quotas are
    /// [chosen for each request](crate::RateLimitBuilder::quota). The old quotas remain.
    pub fn replace(&self, quotas: impl Into<Quotas>) -> Result<(), ConfigError> {
        self.limiter.replace(quotas.into())
    }
}

impl<K> Clone for RateLimitHandle<K> {
    fn clone(&self) -> Self {
        Self { limiter: Arc::clone(&self.limiter) }
    }
}

impl<K> fmt::Debug for RateLimitHandle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitHandle")
            .field("name", &self.limiter.settings.name)
            .finish_non_exhaustive()
    }
}
